// Scores of a group's queries with the keys of one KV head, from dense and from sparse stores, on
// one thread.
#include <fmt/format.h>

#include "backend/cpu/attention_kernels.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

constexpr size_t kDims[] = {64, 128, 256};
constexpr size_t kGroups[] = {1, 3, 4, 8};
constexpr double kRatios[] = {0.3, 0.5, 0.8, 0.9};

RowsView View(const KeyStore& keys) {
  return std::visit([](const auto& store) { return ViewOf(store); }, keys);
}

// Runs `n` tokens long, as attention has them.
Body ScoreBody(std::vector<KeyStore> stores, size_t dim, size_t group) {
  struct Data {
    std::vector<KeyStore> stores;
    std::vector<RowsView> views;
    std::vector<float> q, scores;
    AlignedBytes scratch;
    size_t bytes = 0;
  };
  auto data = std::make_shared<Data>();
  Random random(7);
  data->stores = std::move(stores);
  for (const KeyStore& store : data->stores) {
    data->views.push_back(View(store));
    data->bytes += AllocatedBytes(store);
  }
  data->q = random.Normals(group * dim);
  data->scores.resize(group * kMaxFewTokens);
  data->scratch.Resize(AttentionScratchBytes(dim));
  return [data, group](benchmark::State& state) {
    const size_t n = Size(data->stores.front());
    for (auto _ : state) {
      for (const RowsView& view : data->views) {
        for (size_t t = 0; t < n; t += kMaxFewTokens) {
          ScoreRows(view, t, std::min(kMaxFewTokens, n - t), data->q.data(), group,
                    data->scores.data(), kMaxFewTokens, data->scratch.data());
        }
      }
      benchmark::DoNotOptimize(data->scores.data());
      benchmark::ClobberMemory();
    }
    CountBytes(state, static_cast<double>(data->bytes), 1,
               static_cast<double>(n * data->stores.size()));
  };
}

void RegisterDense(DType type, size_t dim, size_t group, Place place) {
  Register(fmt::format("Scores/dense/{}/D:{}/G:{}/{}", Name(type), dim, group, Name(place)), [=] {
    Random random(1);
    return ScoreBody(Copies<KeyStore>(RandomDense(type, StoreTokens(place), dim, random), place),
                     dim, group);
  });
}

void RegisterSparse(DType type, double ratio, size_t dim, size_t group, Place place) {
  const std::string name =
      fmt::format("Scores/sparse:{}/{}/D:{}/G:{}/{}", ratio, Name(type), dim, group, Name(place));
  Register(name, [=] {
    Random random(1);
    const RandomMask mask{.ratio = ratio, .halving = kHalvingOfModels};
    return ScoreBody(
        Copies<KeyStore>(RandomSparse(type, StoreTokens(place), dim, mask, Recovery::kMean, random),
                         place),
        dim, group);
  });
}

void RegisterLanes(double ratio, size_t dim, size_t group, Place place) {
  Register(fmt::format("Scores/lanes:{}/q8_0/D:{}/G:{}/{}", ratio, dim, group, Name(place)), [=] {
    Random random(1);
    return ScoreBody(
        Copies<KeyStore>(RandomLanes(StoreTokens(place), dim, ratio, random, kHalvingOfModels),
                         place),
        dim, group);
  });
}

}  // namespace

void RegisterScores() {
  for (const Place place : kPlaces) {
    for (const size_t dim : kDims) {
      for (const size_t group : kGroups) {
        for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
          RegisterDense(type, dim, group, place);
        }
        for (const double ratio : kRatios) {
          for (const DType type : {DType::kF16, DType::kQ8_0}) {
            RegisterSparse(type, ratio, dim, group, place);
          }
          RegisterLanes(ratio, dim, group, place);
        }
      }
    }
  }
}

}  // namespace spark::bench
