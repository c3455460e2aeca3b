// What compressing costs: one head's keys and values (channels chosen, rows packed) on one thread,
// and a layer on several.
#include <fmt/format.h>

#include "compress/compressor.h"
#include "compress/stage.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

constexpr size_t kWindow = 32, kGroup = 3;

struct HeadData {
  CompressionPlan plan;
  std::vector<float> keys, values, queries;
  HeadContext head;
};

std::shared_ptr<HeadData> MakeHead(const std::string& plan, DType type, size_t dim, size_t n) {
  auto data = std::make_shared<HeadData>();
  data->plan = CompressionPlan::Parse(plan);
  Random random(1);
  data->keys = random.Normals(n * dim);
  data->values = random.Normals(n * dim);
  data->queries = random.Normals(kWindow * kGroup * dim);
  data->head = {.keys = data->keys.data(),
                .values = data->values.data(),
                .n_tokens = n,
                .head_dim = dim,
                .queries = data->queries.data(),
                .window = kWindow,
                .group = kGroup,
                .types = {type, type}};
  return data;
}

// kMemory: keys and values in f32 of kMemoryBytes.
void RegisterHead(const std::string& plan, DType type, size_t dim, Place place) {
  Register(fmt::format("Compress/{}/{}/D:{}/{}", plan, Name(type), dim, Name(place)),
           [=]() -> Body {
             const size_t n =
                 place == Place::kCache ? kCacheTokens : kMemoryBytes / (2 * dim * sizeof(float));
             const auto data = MakeHead(plan, type, dim, n);
             return [=](benchmark::State& state) {
               for (auto _ : state) {
                 benchmark::DoNotOptimize(data->plan.channel_stage()->Compress(data->head));
               }
               CountBytes(state, static_cast<double>(2 * n * dim * sizeof(float)), 1,
                          static_cast<double>(n));
             };
           });
}

// A layer of SmolLM2 as prefill leaves it: 3 heads of 4096 tokens.
void RegisterLayer(const std::string& plan, DType type, int threads) {
  constexpr size_t kHeads = 3, kDim = 64, kTokens = 4096;
  Register(fmt::format("CompressLayer/{}/{}/T:{}", plan, Name(type), threads), [=]() -> Body {
    const auto data = MakeHead(plan, type, kDim, kTokens);
    Random random(2);
    const std::vector<float> rows = random.Normals(kTokens * kHeads * kDim);
    auto queries = std::make_shared<WindowQueries>();
    queries->n = kWindow;
    queries->q = random.Normals(kWindow * kHeads * kGroup * kDim);
    auto full = std::make_shared<LayerCache>(kHeads, kDim, CacheTypes{type, type});
    full->OpenContext(kTokens);
    full->Append(rows.data(), rows.data(), kTokens);
    return [=](benchmark::State& state) {
      for (auto _ : state) {
        state.PauseTiming();
        LayerCache layer(kHeads, kDim, CacheTypes{type, type});
        layer.CopyTails(*full);
        state.ResumeTiming();
        CompressLayer(data->plan, {.n_layers = 1, .next_position = kTokens, .threads = threads},
                      *queries, kHeads * kGroup, layer);
      }
      CountBytes(state, static_cast<double>(2 * kTokens * kHeads * kDim * sizeof(float)), threads,
                 static_cast<double>(kTokens * kHeads));
    };
  });
}

}  // namespace

void RegisterCompression() {
  const std::pair<const char*, DType> plans[] = {{"spark:0.5", DType::kF16},
                                                 {"spark:0.8", DType::kF16},
                                                 {"spark:0.8", DType::kQ8_0},
                                                 {"spark-plus:0.9", DType::kF16},
                                                 {"think:0.5", DType::kF16}};
  for (const auto& [plan, type] : plans) {
    for (const Place place : kPlaces) {
      for (const size_t dim : {64, 128, 256}) RegisterHead(plan, type, dim, place);
    }
    for (const int threads : ThreadCounts()) RegisterLayer(plan, type, threads);
  }
}

}  // namespace spark::bench
