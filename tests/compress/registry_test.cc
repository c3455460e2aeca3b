// Every method there is, alone and composed, on every kind of input.
#include "compress/registry.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "backend/backend.h"
#include "compress/compressor.h"
#include "compress/stage.h"
#include "spark/session.h"
#include "tests/support/counting_allocator.h"

namespace spark {
namespace registry_test {

using testing::LiveAlignedBytes;

// A stage of the method with an argument that removes something.
std::string Stage(const MethodInfo& method) {
  if (method.argument.empty()) return std::string(method.name);
  return std::string(method.name) + (method.argument.starts_with("P") ? ":0.9" : ":0.5");
}

struct Setting {
  std::string plan;
  CacheType type;
};

std::vector<Setting> Settings() {
  std::vector<Setting> settings;
  for (const MethodInfo& method : Registry()) {
    const std::string stage = Stage(method);
    settings.push_back({stage, CacheType::kF16});
    settings.push_back({stage, CacheType::kQ8_0});
    settings.push_back({stage, CacheType::kQ4_0});
    settings.push_back({method.make_token ? stage + "+spark:0.8" : "snapkv:0.5[window=16]+" + stage,
                        CacheType::kF16});
    const auto with = [&](std::string_view option, const std::string& value) {
      for (const OptionInfo& info : method.options) {
        if (info.name == option) {
          settings.push_back(
              {stage + "[" + std::string(option) + "=" + value + "]", CacheType::kF16});
        }
      }
    };
    with("heads", "ada");
    with("values", "0.5");
    with("recovery", "zero");
    with("recovery", "normal");
    with("recovery", "exponential");
  }
  return settings;
}

constexpr size_t kLengths[] = {1, 20, 257};  // one token, fewer than any window, some more

constexpr size_t kHeads = 6, kKvHeads = 2, kHeadDim = 24;

std::vector<float> Normals(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

// A layer after its context of n tokens has been compressed.
LayerCache Compressed(const Setting& setting, size_t n, int threads = 2) {
  const CompressionPlan plan = CompressionPlan::Parse(setting.plan);
  const DType type = ToDType(setting.type);
  LayerCache layer(kKvHeads, kHeadDim, {type, type});
  layer.OpenContext(n);
  layer.Append(Normals(n * kKvHeads * kHeadDim, 1).data(),
               Normals(n * kKvHeads * kHeadDim, 2).data(), n);
  WindowQueries queries;
  queries.n = std::min(plan.window(), n);
  queries.q = Normals(queries.n * kHeads * kHeadDim, 3);
  const RopeConfig rope{.dim = kHeadDim};
  const std::vector<float> frequencies = RopeFrequencies(rope, {});
  CompressLayer(plan,
                {.layer = 1,
                 .n_layers = 3,
                 .next_position = n,
                 .rope = &rope,
                 .rope_frequencies = frequencies,
                 .threads = threads},
                queries, kHeads, layer);
  return layer;
}

std::vector<float> Attend(Backend& backend, LayerCache& layer) {
  const std::vector<float> token = Normals(kKvHeads * kHeadDim, 4);
  layer.Append(token.data(), token.data(), 1);
  std::vector<float> out(kHeads * kHeadDim);
  backend.Attend(Normals(out.size(), 5).data(), 1, kHeads, layer, {0.2f}, out.data());
  return out;
}

TEST_CASE("every method: bytes as accounted, the same by any threads, and finite", "[registry]") {
  const auto reference = MakeReferenceBackend();
  const auto cpu = MakeCpuBackend({.threads = 2});
  for (const Setting& setting : Settings()) {
    for (const size_t n : {1, 20, 600}) {  // more than a thread takes at a time, too
      INFO(setting.plan << " " << Name(setting.type) << ", " << n << " tokens");
      const size_t before = LiveAlignedBytes();
      LayerCache layer = Compressed(setting, n);
      KvBytes bytes;
      layer.AddBytes(bytes);
      // ThinK's channel lists are plain vectors, which are not counted.
      size_t lists = 0;
      for (const HeadCache& head : layer.heads()) {
        for (const SegmentPtr& segment : head.context) {
          const auto* dropped = std::get_if<DroppedKeyStore>(&segment->keys);
          if (dropped != nullptr) lists += dropped->ChannelBytes();
        }
      }
      CHECK(LiveAlignedBytes() - before == bytes.total() - lists);

      LayerCache again = Compressed(setting, n, n == 600 ? 3 : 1);
      const std::vector<float> expected = Attend(*reference, layer);
      CHECK(Attend(*reference, again) == expected);
      LayerCache other = Compressed(setting, n);
      const std::vector<float> out = Attend(*cpu, other);
      for (size_t i = 0; i < out.size(); ++i) {
        CHECK(std::isfinite(expected[i]));
        CHECK(std::abs(out[i] - expected[i]) < 1e-4f);  // means of normals, summed in another order
      }
    }
  }
}

TEST_CASE("every method in a session", "[registry]") {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  std::vector<TokenId> ids(257);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>((i * 37 + i * i) % 320);
  for (const Setting& setting : Settings()) {
    for (const std::string backend : {"reference", "cpu"}) {
      if (backend == "reference" && setting.type != CacheType::kF16) continue;  // slow
      for (const size_t n : kLengths) {
        INFO(setting.plan << " " << Name(setting.type) << ", " << n << " tokens, " << backend);
        SessionOptions options;
        options.plan = CompressionPlan::Parse(setting.plan);
        options.cache_type_k = options.cache_type_v = setting.type;
        options.backend = backend;
        options.threads = 2;
        std::vector<float> runs[2];
        for (std::vector<float>& run : runs) {
          Session session(model, options);
          session.Prefill(std::span(ids).first(n));
          session.Append(std::span(ids).first(3));
          run.assign(session.NextLogits().begin(), session.NextLogits().end());
        }
        CHECK(runs[0] == runs[1]);
        for (const float logit : runs[0]) REQUIRE(std::isfinite(logit));
      }
    }
  }
}

// All heads are packed from the tails that the layer had: none may ask how long those are once
// another's is gone.
TEST_CASE("a window of as many tokens as a context is pruned like it, head by head", "[registry]") {
  constexpr size_t kTokens = 40;
  const CompressionPlan plan = CompressionPlan::Parse("spark:0.5[layers=all]");
  REQUIRE(plan.window() < kTokens);
  const std::vector<float> rows = Normals(kTokens * kKvHeads * kHeadDim, 6);
  WindowQueries queries;
  queries.n = plan.window();
  queries.q = Normals(queries.n * kHeads * kHeadDim, 7);
  const auto compressed = [&](size_t window) {
    const CacheTypes types{DType::kF32, DType::kF32};
    LayerCache layer(kKvHeads, kHeadDim, types, types, window);
    layer.OpenContext(kTokens);
    layer.Append(rows.data(), rows.data(), kTokens);
    CompressLayer(plan, {.n_layers = 1, .next_position = kTokens}, queries, kHeads, layer);
    return layer;
  };
  const LayerCache whole = compressed(0), windowed = compressed(kTokens);
  for (size_t h = 0; h < kKvHeads; ++h) {
    INFO("head " << h);
    REQUIRE(whole.heads()[h].context.size() == 1);
    REQUIRE(windowed.heads()[h].context.size() == 1);
    const auto& want = std::get<SparseStore>(whole.heads()[h].context[0]->keys);
    const auto& keys = std::get<SparseStore>(windowed.heads()[h].context[0]->keys);
    const size_t bytes = kTokens * MaskBytes(kHeadDim);
    CHECK(std::equal(want.masks(), want.masks() + bytes, keys.masks()));
  }
}

}  // namespace registry_test
}  // namespace spark
