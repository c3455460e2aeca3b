// Token stages against kvpress: which tokens of a context stay in every layer and head, and the
// logits behind it (tests/data/models/README.md).
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "compress/compressor.h"
#include "compress/registry.h"
#include "io/safetensors.h"
#include "model/model_file.h"
#include "spark/session.h"

namespace spark {
namespace token_methods_test {

constexpr const char* kTokenMethods[] = {"expected", "h2o",       "knorm", "pyramidkv",
                                         "snapkv",   "streaming", "tova"};

const Model& TinyLlama() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  return model;
}

const SafetensorsFile& Expected() {
  static const SafetensorsFile file =
      SafetensorsFile::Open(SPARK_TEST_DATA "/models/llama/expected.safetensors");
  return file;
}

std::vector<TokenId> PressIds() {
  const std::vector<int64_t> ids = Expected().ReadInts("press.input_ids");
  return {ids.begin(), ids.end()};
}

size_t PressContext() { return static_cast<size_t>(Expected().ReadInts("press.context").at(0)); }

// The keys of a head's closed segments, or of its tail, row by row.
std::vector<std::vector<float>> KeyRows(const HeadCache& head, size_t head_dim) {
  std::vector<std::vector<float>> rows;
  for (const SegmentPtr& segment : head.context) {
    for (size_t t = 0; t < segment->size(); ++t) {
      ReadRow(segment->keys, t, rows.emplace_back(head_dim).data());
    }
  }
  for (size_t t = 0; t < head.tail.size(); ++t) {
    head.tail.keys.ReadRow(t, rows.emplace_back(head_dim).data());
  }
  return rows;
}

// Compresses each layer, and finds out which tokens stayed by their keys, which all differ.
class KeptTokens : public LayerObserver {
 public:
  KeptTokens(const std::string& plan, const Transformer& transformer, KvCache& cache, size_t n)
      : plan_(CompressionPlan::Parse(plan)), transformer_(transformer), cache_(cache), n_(n) {
    cache_.layers().front().OpenContext(n_);
  }

  size_t window() const override { return plan_.window(); }
  void TileDone(size_t, size_t) override {}
  void LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) override {
    const ModelConfig& config = transformer_.config();
    std::vector<std::vector<std::vector<float>>> before;
    for (const HeadCache& head : cache.heads()) before.push_back(KeyRows(head, config.head_dim));
    const CompressionPass pass{.layer = layer,
                               .n_layers = config.n_layers,
                               .next_position = n_,
                               .rope = &transformer_.rope(layer),
                               .rope_frequencies = transformer_.rope_frequencies(layer),
                               .threads = 2};
    CompressLayer(plan_, pass, queries, config.n_heads, cache);
    std::vector<int64_t>& kept = kept_.emplace_back();
    for (size_t h = 0; h < before.size(); ++h) {
      for (const auto& row : KeyRows(cache.heads()[h], config.head_dim)) {
        kept.push_back(std::ranges::find(before[h], row) - before[h].begin());
      }
    }
    if (layer + 1 < config.n_layers) cache_.layers()[layer + 1].OpenContext(n_);
  }

  // Of a layer: those of head 0, then of head 1, …
  const std::vector<int64_t>& OfLayer(size_t layer) const { return kept_.at(layer); }

 private:
  CompressionPlan plan_;
  const Transformer& transformer_;
  KvCache& cache_;
  size_t n_;
  std::vector<std::vector<int64_t>> kept_;
};

// The files' numbers were found by comparing values. Those of the lowest layer depend on nothing
// but the token's id, so there the first token with the same id stands for each.
std::vector<int64_t> FirstWithSameId(std::vector<int64_t> kept, size_t n_heads) {
  const std::vector<TokenId> ids = PressIds();
  for (int64_t& t : kept) t = std::ranges::find(ids, ids[static_cast<size_t>(t)]) - ids.begin();
  const auto per_head = static_cast<std::ptrdiff_t>(kept.size() / n_heads);
  for (auto head = kept.begin(); head != kept.end(); head += per_head) {
    std::sort(head, head + per_head);
  }
  return kept;
}

TEST_CASE("token stages keep the tokens that kvpress keeps", "[oracle][tokens]") {
  const std::vector<TokenId> ids = PressIds();
  const size_t context = PressContext();
  const ModelConfig& config = TinyLlama().config();
  const std::unique_ptr<Backend> backends[] = {MakeReferenceBackend(),
                                               MakeCpuBackend({.threads = 2, .compute_f32 = true})};
  for (const auto& backend : backends) {
    for (const std::string method : kTokenMethods) {
      CacheTypes f32{DType::kF32, DType::kF32};
      KvCache cache(config.n_layers, config.n_kv_heads, config.head_dim, f32);
      Transformer transformer(config, TinyLlama().weights(), *backend, 512);
      KeptTokens kept(method + ":0.5", transformer, cache, context);
      transformer.Forward(std::span(ids).first(context), 0, cache, &kept);
      for (size_t layer = 0; layer < config.n_layers; ++layer) {
        INFO(backend->name() << ' ' << method << " layer " << layer);
        const std::vector<int64_t>& ours = kept.OfLayer(layer);
        CHECK((layer > 0 ? ours : FirstWithSameId(ours, config.n_kv_heads)) ==
              Expected().ReadInts("press." + method + "_0.5.layer" + std::to_string(layer) +
                                  ".kept"));
      }
    }
  }
}

SessionOptions Options(const std::string& plan, const std::string& backend) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.backend = backend;
  options.compute_f32 = true;
  options.threads = 2;
  return options;
}

void CheckLogits(const std::string& plan, const std::string& name, const std::string& backend) {
  INFO(plan << ' ' << backend);
  const std::vector<TokenId> ids = PressIds();
  Session session(TinyLlama(), Options(plan, backend));
  session.Prefill(std::span(ids).first(PressContext()));
  std::vector<float> logits;
  session.Append(std::span(ids).subspan(PressContext()), {},
                 [&](size_t, std::span<const float> rows) {
                   logits.insert(logits.end(), rows.begin(), rows.end());
                 });
  const std::vector<float> expected = Expected().ReadFloats("press." + name + ".logits");
  REQUIRE(logits.size() == expected.size());
  float largest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::abs(logits[i] - expected[i]));
  }
  CHECK(largest < 5e-5f);  // f32 sums in another order; the logits lie within ±1
}

TEST_CASE("logits behind evicted contexts are kvpress's", "[oracle][tokens]") {
  for (const std::string backend : {"reference", "cpu"}) {
    for (const std::string method : kTokenMethods) {
      CheckLogits(method + ":0.5", method + "_0.5", backend);
    }
    CheckLogits("snapkv:0.5+spark:0.8", "snapkv_0.5__spark_0.8", backend);
    CheckLogits("snapkv:0.5+think:0.5", "snapkv_0.5__think_0.5", backend);
  }
}

// Every token method: contexts of any length, at once and in chunks, and passes over what comes
// behind them. Nothing is wrong by itself, and the bytes are those of the budget.
TEST_CASE("token stages in sessions of every kind", "[tokens][session]") {
  std::vector<TokenId> ids = PressIds();
  ids.insert(ids.end(), ids.begin(), ids.end());
  const ModelInfo& info = TinyLlama().info();
  const size_t token_bytes = 2 * info.head_dim * sizeof(float);
  for (const MethodInfo& method : Registry()) {
    if (!method.make_token) continue;
    const bool heads =
        std::ranges::find(method.options, "heads", &OptionInfo::name) != method.options.end();
    for (const std::string budget : {":0.5", ":n=64"}) {
      for (const std::string end : {"", "[heads=ada]"}) {
        if (!end.empty() && !heads) continue;
        for (const size_t context : {1, 30, 257}) {
          SessionOptions options = Options(std::string(method.name) + budget + end, "cpu");
          options.prefill_chunk = context == 257 ? 100 : 0;
          options.decode_interval = 16;
          options.keep_context = false;  // for Rewind(); it would count
          INFO(options.plan.text() << " context " << context);
          Session session(TinyLlama(), options);
          session.Prefill(std::span(ids).first(context));
          session.Append(std::span(ids).subspan(context, 50));
          CHECK(
              std::ranges::all_of(session.NextLogits(), [](float x) { return std::isfinite(x); }));
          if (budget == ":0.5") continue;
          // 50 tokens: three passes, and two tokens that wait for the next one.
          const size_t kept = std::min<size_t>(64, context + 48);
          const size_t bytes = session.kv_bytes().values + session.kv_bytes().key_values;
          const size_t n_heads = info.n_layers * info.n_kv_heads;
          CHECK(bytes >= n_heads * kept * token_bytes);
          // At most six segments a head, whose two arrays end in padding.
          CHECK(bytes <= n_heads * (kept * token_bytes + 6 * 2 * 64));
        }
      }
    }
  }
}

TEST_CASE("heads of different lengths are stored as such", "[tokens][session]") {
  for (const std::string backend : {"reference", "cpu"}) {
    const std::vector<TokenId> ids = PressIds();
    Session even(TinyLlama(), Options("h2o:0.5+spark:0.8", backend));
    Session ada(TinyLlama(), Options("h2o:0.5[heads=ada]+spark:0.8", backend));
    even.Prefill(std::span(ids).first(PressContext()));
    ada.Prefill(std::span(ids).first(PressContext()));
    CHECK(even.kv_bytes().values == ada.kv_bytes().values);
    even.Append(std::span(ids).subspan(PressContext()));
    ada.Append(std::span(ids).subspan(PressContext()));
    CHECK(!std::ranges::equal(even.NextLogits(), ada.NextLogits()));
  }
}

}  // namespace token_methods_test
}  // namespace spark
