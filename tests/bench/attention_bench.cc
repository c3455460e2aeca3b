// Attention as a model asks for it: a decoded token over all KV heads of layers, and a piece of a
// prompt over what came before it. Work is shared among threads.
#include <fmt/format.h>

#include "backend/backend.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

constexpr size_t kKvHeads = 4;
constexpr size_t kTokens = 16384;  // a head, out of cache

struct Layout {
  std::string name;
  double ratio = 0;  // of pruned key channels; 0: dense keys
  DType type;        // of keys and values
  bool lanes = false;
};

KeyStore Keys(const Layout& layout, size_t n, size_t dim, Random& random) {
  if (layout.ratio == 0) return RandomDense(layout.type, n, dim, random);
  if (layout.lanes) return RandomLanes(n, dim, layout.ratio, random, kHalvingOfModels);
  const RandomMask mask{.ratio = layout.ratio, .halving = kHalvingOfModels};
  return RandomSparse(layout.type, n, dim, mask, Recovery::kMean, random);
}

struct DecodeData {
  std::unique_ptr<Backend> backend;
  std::vector<LayerCache> layers;
  std::vector<float> q, out;
  size_t bytes = 0, tokens = 0;  // tokens: times KV heads
};

// Layers of kTokens tokens a head until they take kMemoryBytes; one of kCacheTokens in cache.
std::shared_ptr<DecodeData> MakeDecode(const Layout& layout, size_t dim, size_t group, Place place,
                                       int threads) {
  auto data = std::make_shared<DecodeData>();
  data->backend = MakeCpuBackend({.threads = threads});
  Random random(1);
  const size_t n = place == Place::kCache ? kCacheTokens : kTokens;
  const Segment made{Keys(layout, n, dim, random), RandomDense(layout.type, n, dim, random)};
  std::vector<uint32_t> all(n);
  std::iota(all.begin(), all.end(), 0u);
  const std::vector<float> newest = random.Normals(kKvHeads * dim);
  do {
    std::vector<std::vector<SegmentPtr>> heads(kKvHeads);
    for (auto& head : heads) {
      head.push_back(std::make_shared<const Segment>(made.Select(all)));
      data->bytes += AllocatedBytes(head[0]->keys) + AllocatedBytes(head[0]->values);
      data->tokens += n;
    }
    LayerCache& layer =
        data->layers.emplace_back(kKvHeads, dim, CacheTypes{layout.type, layout.type});
    layer.SetContext(std::move(heads), n, false);
    layer.Append(newest.data(), newest.data(), 1);  // the token whose queries they are
  } while (place == Place::kMemory && data->bytes < kMemoryBytes);
  data->q = random.Normals(kKvHeads * group * dim);
  data->out.resize(data->q.size());
  return data;
}

void RegisterDecode(const Layout& layout, size_t dim, size_t group, Place place, int threads) {
  Register(fmt::format("Attend/{}/{}/D:{}/G:{}/T:{}/{}", layout.name, Name(layout.type), dim, group,
                       threads, Name(place)),
           [=]() -> Body {
             const auto data = MakeDecode(layout, dim, group, place, threads);
             return [=](benchmark::State& state) {
               data->backend->Together([&] {  // as in a token's pass: threads stay awake
                 for (auto _ : state) {
                   for (const LayerCache& layer : data->layers) {
                     data->backend->Attend(data->q.data(), 1, kKvHeads * group, layer, {0.125f},
                                           data->out.data());
                   }
                   benchmark::ClobberMemory();
                 }
               });
               CountBytes(state, static_cast<double>(data->bytes), threads,
                          static_cast<double>(data->tokens));
             };
           });
}

// The last kPiece tokens of a prompt of n, whose keys and values are f32.
void RegisterPrefill(size_t n, size_t dim, size_t group, int threads) {
  constexpr size_t kPiece = 512;
  Register(
      fmt::format("Prefill/attend/D:{}/G:{}/tokens:{}/T:{}", dim, group, n, threads),
      [=]() -> Body {
        struct Data {
          std::unique_ptr<Backend> backend;
          LayerCache layer;
          std::vector<float> q, out;
        };
        auto data =
            std::make_shared<Data>(Data{MakeCpuBackend({.threads = threads}),
                                        LayerCache(kKvHeads, dim, {DType::kF32, DType::kF32}),
                                        {},
                                        {}});
        Random random(1);
        data->layer.OpenContext(n);
        const std::vector<float> rows = random.Normals(n * kKvHeads * dim);
        data->layer.Append(rows.data(), rows.data(), n);
        data->q = random.Normals(kPiece * kKvHeads * group * dim);
        data->out.resize(data->q.size());
        return [=](benchmark::State& state) {
          for (auto _ : state) {
            data->backend->Attend(data->q.data(), kPiece, kKvHeads * group, data->layer, {0.125f},
                                  data->out.data());
            benchmark::ClobberMemory();
          }
          // Query i sees n - kPiece + i + 1 tokens; two products of D multiply-adds each.
          const auto pairs = static_cast<double>(kPiece * (n - kPiece) + kPiece * (kPiece + 1) / 2);
          CountFlops(state, 4.0 * static_cast<double>(dim * kKvHeads * group) * pairs, threads);
        };
      });
}

}  // namespace

void RegisterAttention() {
  struct Shape {
    size_t dim, group;
  };
  const Shape shapes[] = {{64, 3}, {128, 2}, {256, 4}};  // SmolLM2, Qwen3 0.6B, Gemma 3 270M
  for (const Place place : kPlaces) {
    for (const auto [dim, group] : shapes) {
      for (const int threads : ThreadCounts()) {
        for (const DType type : {DType::kF16, DType::kQ8_0}) {
          RegisterDecode({"dense", 0, type}, dim, group, place, threads);
          RegisterDecode({"sparse:0.5", 0.5, type}, dim, group, place, threads);
          RegisterDecode({"sparse:0.8", 0.8, type}, dim, group, place, threads);
        }
        RegisterDecode({"lanes:0.8", 0.8, DType::kQ8_0, true}, dim, group, place, threads);
      }
    }
  }
  for (const auto [dim, group] : shapes) {
    for (const int threads : ThreadCounts()) {
      for (const size_t n : {512, 4096}) RegisterPrefill(n, dim, group, threads);
    }
  }
}

}  // namespace spark::bench
