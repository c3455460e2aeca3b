// Sessions that compress on the device, beside the same ones on the reference backend, which
// compress on the host: which channels stay, what is said, what it takes.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "generate/context_file.h"
#include "kv/channel_mask.h"
#include "model/config.h"
#include "spark/memory_plan.h"
#include "spark/session.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/session_options.h"
#include "tests/support/largest_difference.h"
#include "tests/support/sanitized.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_llama.h"
#ifdef SPARK_SIMT
#include "simt/device_heap.h"
#include "simt/simt.h"

namespace spark::cuda {
struct CompressArguments;
template <int kWords>
__global__ void PackTokens(CompressArguments a);  // backend/cuda/compress.cu.h
extern template void PackTokens<2>(CompressArguments a);
}  // namespace spark::cuda
#endif

namespace spark {
namespace compress_session_test {

const Model& Qwen() {  // heads of 32 channels
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/qwen3");
  return model;
}

std::vector<TokenId> SomeTokens(size_t n, const Model& model) {
  std::vector<TokenId> ids;
  const size_t vocab = model.config().vocab_size;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>((7 * i + i * i / 3) % vocab));
  return ids;
}

// How many layers have been packed on the device so far: a launch each. On a GPU nobody counts.
size_t PackedLayers() {
#ifdef SPARK_SIMT
  return simt::Launches(cuda::PackTokens<2>);  // heads of up to 64 channels
#else
  return 0;
#endif
}
void CheckPacked(size_t before, [[maybe_unused]] size_t layers) {
#ifdef SPARK_SIMT
  CHECK(PackedLayers() - before == layers);
#else
  CHECK(PackedLayers() == before);
#endif
}

constexpr size_t kContext = 50, kQuestion = 4;

struct Outcome {
  SavedSegments segments;
  std::vector<float> logits;  // of the question's tokens
};

Outcome Run(const Model& model, const SessionOptions& options, size_t n = kContext) {
  const std::vector<TokenId> ids = SomeTokens(n + kQuestion, model);
  const test::TempDir dir;
  Session session(model, options);
  session.Prefill(std::span(ids).first(n));
  Outcome outcome;
  const std::string path = dir / "context";
  session.SaveContext(path);
  outcome.segments = ReadSegments(SavedContext::Open(path).impl(), model.config());
  session.Append(std::span(ids).subspan(n), {}, [&](size_t, std::span<const float> rows) {
    outcome.logits.insert(outcome.logits.end(), rows.begin(), rows.end());
  });
  return outcome;
}

// The exact keys of a head, which the contributions that tie are made of.
std::vector<std::vector<float>> ExactKeys(const Outcome& dense, size_t layer, size_t head) {
  std::vector<std::vector<float>> rows;
  const size_t dim = Qwen().config().head_dim;
  for (const SegmentPtr& segment : dense.segments[layer][head]) {
    for (size_t t = 0; t < segment->size(); ++t) {
      ReadRow(segment->keys, t, rows.emplace_back(dim).data());
    }
  }
  return rows;
}

// Whether the masks of a token differ in channels only whose contributions, k² w with w in the
// fill, were computed from keys and queries that rounding could have swapped.
bool AreTies(const SparseStore& one, const SparseStore& other, size_t t,
             const std::vector<float>& key) {
  float least = INFINITY, most = 0;
  for (size_t j = 0; j < key.size(); ++j) {
    if (MaskBit(one.Mask(t), j) == MaskBit(other.Mask(t), j)) continue;
    const float x = key[j] / other.fill()[j];
    least = std::min(least, x * x);
    most = std::max(most, x * x);
  }
  return one.Kept(t) == other.Kept(t) && most - least <= 1e-3f * most;
}

struct Compared {
  size_t tokens = 0, ties = 0;
};

// Segment by segment: the same stores, and in sparse ones the same masks but for ties.
Compared CompareKeys(const Outcome& device, const Outcome& host, const Outcome& dense) {
  Compared compared;
  for (size_t layer = 0; layer < host.segments.size(); ++layer) {
    for (size_t head = 0; head < host.segments[layer].size(); ++head) {
      const auto keys = ExactKeys(dense, layer, head);
      const auto &mine = device.segments[layer][head], &theirs = host.segments[layer][head];
      REQUIRE(mine.size() == theirs.size());
      size_t first = 0;  // token of the segment
      for (size_t s = 0; s < theirs.size(); first += theirs[s]->size(), ++s) {
        REQUIRE(mine[s]->size() == theirs[s]->size());
        REQUIRE(mine[s]->keys.index() == theirs[s]->keys.index());
        const auto* a = std::get_if<SparseStore>(&mine[s]->keys);
        const auto* b = std::get_if<SparseStore>(&theirs[s]->keys);
        if (a == nullptr) continue;
        CHECK(a->value_type() == b->value_type());
        for (size_t t = 0; t < b->size(); ++t, ++compared.tokens) {
          if (std::memcmp(a->Mask(t), b->Mask(t), MaskBytes(b->head_dim())) == 0) continue;
          ++compared.ties;
          CHECK(AreTies(*a, *b, t, keys[first + t]));
        }
      }
    }
  }
  return compared;
}

void ComparePlan(const std::string& plan, CacheType type, float tolerance = 1e-3f) {
  CAPTURE(plan, Name(type));
  const size_t before = PackedLayers();
  const Outcome device = Run(Qwen(), Options("cuda", plan, type));
  CheckPacked(before, Qwen().config().n_layers);
  const Outcome host = Run(Qwen(), Options("reference", plan, type));
  static const Outcome dense = Run(Qwen(), Options("reference", "none", CacheType::kF32));
  const Compared compared = CompareKeys(device, host, dense);
  CHECK(compared.tokens > 0);
  CHECK(compared.ties * 50 <= compared.tokens);
  CHECK(LargestDifference(device.logits, host.logits) < tolerance);
}

TEST_CASE("A session's keys are packed on the device as on the host", "[compress]") {
  MakeDevice();
  ComparePlan("spark:0.5", CacheType::kF32);
  ComparePlan("spark:0.5", CacheType::kF16);
  ComparePlan("spark:0.8[weights=rms]", CacheType::kF16);
  ComparePlan("spark:0.8[sinks=3,keep=5]", CacheType::kBF16);
}

TEST_CASE("So are keys in 8 bits that lie behind masks", "[compress]") {
  MakeDevice();
  ComparePlan("spark:0.5", CacheType::kQ8_0);
  ComparePlan("spark:0.8[layout=mask,values=0.5]", CacheType::kQ8_0);
}

// What the device leaves to the host.
void CheckOnHost(const std::string& plan, CacheType type) {
  CAPTURE(plan, Name(type));
  const size_t before = PackedLayers();
  const Outcome device = Run(Qwen(), Options("cuda", plan, type));
  CHECK(PackedLayers() == before);
  const Outcome host = Run(Qwen(), Options("reference", plan, type));
  for (size_t layer = 0; layer < host.segments.size(); ++layer) {
    CHECK(device.segments[layer][0][0]->keys.index() == host.segments[layer][0][0]->keys.index());
  }
  CHECK(LargestDifference(device.logits, host.logits) < 1e-3f);
}

TEST_CASE("What the device does not pack, the host does", "[compress]") {
  MakeDevice();
  CheckOnHost("spark:0.5[centre=mean]", CacheType::kF32);
  CheckOnHost("snapkv:0.5[window=8]+spark:0.5", CacheType::kF32);
  CheckOnHost("spark:0.5[store=q4_0]", CacheType::kF32);
  if (testing::kSanitized) return;  // the rest would be half a minute
  for (const std::string plan :
       {"spark:0.5[recovery=zero]", "spark-group", "spark-topp:0.9", "think:0.5"}) {
    CheckOnHost(plan, CacheType::kF32);
  }
}

TEST_CASE("A session whose keys lie in lanes says what it says on the reference backend",
          "[compress]") {
  MakeDevice();
  CheckOnHost("spark:0.8", CacheType::kQ8_0);
  const Outcome device = Run(Qwen(), Options("cuda", "spark:0.8", CacheType::kQ8_0));
  CHECK(std::holds_alternative<LaneStore>(device.segments[0][0][0]->keys));
}

TEST_CASE("Chunks and windows are packed on the device, generated tokens on the host",
          "[compress]") {
  MakeDevice();
  SessionOptions options = Options("cuda", "spark:0.5", CacheType::kF32);
  options.prefill_chunk = 20;
  options.decode_interval = 2;
  size_t before = PackedLayers();
  const Outcome chunks = Run(Qwen(), options);
  CheckPacked(before, 3 * Qwen().config().n_layers);  // 50 tokens
  options.backend = "reference";
  CHECK(LargestDifference(chunks.logits, Run(Qwen(), options).logits) < 1e-3f);

  const Model sliding = Model::Load(SPARK_TEST_DATA "/models/mistral-window");
  const std::string plan = "spark:0.5[layers=all]";
  before = PackedLayers();
  const Outcome windows = Run(sliding, Options("cuda", plan, CacheType::kF16));
  CheckPacked(before, sliding.config().n_layers);
  const Outcome host = Run(sliding, Options("reference", plan, CacheType::kF16));
  CHECK(LargestDifference(windows.logits, host.logits) < 1e-3f);
}

TEST_CASE("Of sessions that share a prefill, the one that computes packs on the device",
          "[compress]") {
  MakeDevice();
  const std::vector<TokenId> ids = SomeTokens(kContext, Qwen());
  std::vector<float> logits[2];
  const size_t before = PackedLayers();
  for (const bool reference : {false, true}) {
    const std::string backend = reference ? "reference" : "cuda";
    Session one(Qwen(), Options(backend, "spark:0.5", CacheType::kF16));
    Session two(Qwen(), Options(backend, "spark:0.5", CacheType::kF16));
    Session* both[] = {&one, &two};
    Session::PrefillTogether(both, ids);
    for (Session* session : both) {
      session->Append(std::span(ids).first(1));
      const std::span<const float> next = session->NextLogits();
      logits[reference].insert(logits[reference].end(), next.begin(), next.end());
    }
  }
  CheckPacked(before, Qwen().config().n_layers);
  CHECK(LargestDifference(logits[0], logits[1]) < 1e-3f);
}

#ifdef SPARK_SIMT

// A model of many layers with wide keys: were a second layer's floats still there, or the caches
// of both kinds at once, they would show.
TEST_CASE("A session's memory on the device stays within the plan", "[compress][plan]") {
  MakeDevice();
  const test::TempDir dir;
  const auto bytes = test::MakeTinyLlama(
                         {.hidden = 64, .layers = 6, .kv_heads = 4, .head_dim = 16, .context = 256})
                         .ToBytes();
  const Model model = Model::Load(dir.Write("tiny.gguf", bytes));
  const std::vector<TokenId> ids = SomeTokens(96, model);
  struct Case {
    std::string plan;
    size_t chunk;
    bool f32;
  };
  std::vector<Case> cases = {{"spark:0.5", 0, true}, {"spark:0.5", 32, true}};
  if (!testing::kSanitized) {  // a quarter of a minute each
    cases.push_back({"none", 0, true});
    cases.push_back({"spark:0.5", 0, false});
    cases.push_back({"snapkv:0.5+spark:0.8", 0, true});
  }
  for (const auto& [plan, chunk, f32] : cases) {
    CAPTURE(plan, chunk, f32);
    SessionOptions options = Options("cuda", plan, CacheType::kF16);
    options.context_size = ids.size();
    options.prefill_chunk = chunk;
    options.compute_f32 = f32;
    const size_t before = simt::Heap::Device().bytes();
    simt::Heap::Device().ResetMostBytes();
    Session session(model, options);
    session.Prefill(std::span(ids).first(ids.size() - 1));
    session.Append(std::span(ids).last(1));
    session.NextLogits();
    const MemoryPlan planned = PlanMemory(model, options);
    const size_t most = simt::Heap::Device().most_bytes() - before;
    CHECK(most <= planned.gpu_total());
    // The plan is worth nothing if it would allow for three dense layers more.
    CHECK(most + 3 * planned.dense_layer > (chunk == 0 ? planned.gpu_total() : 0));
  }
}

#endif  // SPARK_SIMT

}  // namespace compress_session_test
}  // namespace spark
