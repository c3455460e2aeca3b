// Weighted sums of the values of one KV head, with the softmax that makes the weights, on one
// thread: the time that attention takes, less that of the scores alone. All runs of values share
// the keys of one run, which stay in cache.
#include <fmt/format.h>

#include <chrono>

#include "backend/cpu/attention_kernels.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

struct ValueData {
  std::vector<ValueStore> stores;
  std::vector<KeyStore> keys;  // one
  std::vector<TokenRun> runs;
  std::vector<float> q, scores, max, sum, out;
  std::vector<uint32_t> begins, ends;
  AlignedBytes scratch;
  size_t bytes = 0;
};

std::shared_ptr<ValueData> MakeData(DType type, size_t dim, size_t group, Place place) {
  auto data = std::make_shared<ValueData>();
  Random random(1);
  const size_t n = StoreTokens(place);
  data->stores = Copies<ValueStore>(RandomDense(type, n, dim, random), place);
  data->keys.emplace_back(RandomDense(DType::kF16, kMaxFewTokens, dim, random));
  const RowsView keys = ViewOf(std::get<DenseStore>(data->keys.front()));
  for (const ValueStore& store : data->stores) {
    data->bytes += AllocatedBytes(store);
    for (size_t t = 0; t < n; t += kMaxFewTokens) {
      TokenRun run{.keys = keys, .values = ViewOf(std::get<DenseStore>(store))};
      run.values.values += t * run.values.row_bytes;  // so that the run's keys are the first ones
      run.count = std::min(kMaxFewTokens, n - t);
      data->runs.push_back(run);
    }
  }
  data->q = random.Normals(group * dim);
  data->scores.resize(group * kMaxFewTokens);
  data->max.resize(group);
  data->sum.resize(group);
  data->out.resize(group * dim);
  data->begins.resize(group);
  data->ends.assign(group, static_cast<uint32_t>(n));
  data->scratch.Resize(AttentionScratchBytes(dim));
  return data;
}

void RunValues(ValueData& data, size_t dim, size_t group, benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const QueryTile queries{data.q.data(), group, dim, data.begins.data(), data.ends.data(), {}};
  const Partial partial{data.max.data(), data.sum.data(), data.out.data()};
  size_t tokens = 0;
  for (const TokenRun& run : data.runs) tokens += run.count;
  for (auto _ : state) {
    const Clock::time_point start = Clock::now();
    for (const TokenRun& run : data.runs)
      AttendFew(queries, run, nullptr, false, data.scratch.data(), partial);
    benchmark::ClobberMemory();
    const Clock::time_point middle = Clock::now();
    for (const TokenRun& run : data.runs) {
      ScoreRows(run.keys, 0, run.count, data.q.data(), group, data.scores.data(), kMaxFewTokens,
                data.scratch.data());
    }
    benchmark::ClobberMemory();
    const Clock::time_point end = Clock::now();
    const double seconds = std::chrono::duration<double>((middle - start) - (end - middle)).count();
    state.SetIterationTime(std::max(seconds, 1e-9));
  }
  CountBytes(state, static_cast<double>(data.bytes), 1, static_cast<double>(tokens));
}

void RegisterType(DType type, size_t dim, size_t group, Place place) {
  const auto make = [=]() -> Body {
    const auto data = MakeData(type, dim, group, place);
    return [=](benchmark::State& state) { RunValues(*data, dim, group, state); };
  };
  Register(fmt::format("Values/{}/D:{}/G:{}/{}", Name(type), dim, group, Name(place)), make,
           Timing::kManual);
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
