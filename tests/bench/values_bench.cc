// Weighted sums of the values of one KV head, on one thread: attention over keys of which one
// channel is left, so that the scores cost next to nothing. The softmax is part of it.
#include <fmt/format.h>

#include "backend/cpu/attention_kernels.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

struct ValueData {
  std::vector<ValueStore> stores;
  std::vector<KeyStore> keys;  // one
  std::vector<TokenRun> runs;
  std::vector<float> q, max, sum, out;
  std::vector<uint32_t> begins, ends;
  AlignedBytes scratch;
  size_t bytes = 0;
};

std::shared_ptr<ValueData> MakeData(DType type, size_t dim, size_t group, Place place) {
  auto data = std::make_shared<ValueData>();
  Random random(1);
  const size_t n = StoreTokens(place);
  data->stores = Copies<ValueStore>(RandomDense(type, n, dim, random), place);
  DroppedKeyStore keys({0}, DType::kF32, dim);
  keys.Append(random.Normals(n * dim).data(), n, dim);
  data->keys.emplace_back(std::move(keys));
  const RowsView key_view = ViewOf(std::get<DroppedKeyStore>(data->keys.front()));
  for (const ValueStore& store : data->stores) {
    data->bytes += AllocatedBytes(store);
    for (size_t t = 0; t < n; t += kMaxFewTokens) {
      TokenRun run{.keys = key_view, .values = ViewOf(std::get<DenseStore>(store))};
      run.first = t;
      run.count = std::min(kMaxFewTokens, n - t);
      data->runs.push_back(run);
    }
  }
  data->q = random.Normals(group * dim);
  data->max.resize(group);
  data->sum.resize(group);
  data->out.resize(group * dim);
  data->begins.resize(group);
  data->ends.assign(group, static_cast<uint32_t>(n));
  data->scratch.Resize(AttentionScratchBytes(dim));
  return data;
}

void RegisterType(DType type, size_t dim, size_t group, Place place) {
  Register(fmt::format("Values/{}/D:{}/G:{}/{}", Name(type), dim, group, Name(place)),
           [=]() -> Body {
             const auto data = MakeData(type, dim, group, place);
             return [=](benchmark::State& state) {
               const QueryTile queries{data->q.data(),    group, dim, data->begins.data(),
                                       data->ends.data(), {}};
               const Partial partial{data->max.data(), data->sum.data(), data->out.data()};
               for (auto _ : state) {
                 for (const TokenRun& run : data->runs) {
                   AttendFew(queries, run, data->scratch.data(), partial);
                 }
                 benchmark::ClobberMemory();
               }
               CountBytes(state, static_cast<double>(data->bytes), 1,
                          static_cast<double>(data->stores.size() * StoreTokens(place)));
             };
           });
}

}  // namespace

void RegisterValues() {
  for (const Place place : kPlaces) {
    for (const size_t dim : {64, 128, 256}) {
      for (const size_t group : {1, 3, 4, 8}) {
        for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
          RegisterType(type, dim, group, place);
        }
      }
    }
  }
}

}  // namespace spark::bench
