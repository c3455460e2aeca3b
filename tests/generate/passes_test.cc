// Passes over generated tokens, and contexts that are compressed in chunks.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "spark/error.h"
#include "spark/memory_plan.h"
#include "spark/session.h"

namespace spark {
namespace passes_test {

const Model& TinyLlama() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  return model;
}

std::vector<TokenId> SomeTokens(size_t n) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<TokenId>((i * 37 + i * i * 11) % 320);
  return ids;
}

SessionOptions Options(const std::string& plan, size_t interval = 0, size_t chunk = 0) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.decode_interval = interval;
  options.prefill_chunk = chunk;
  options.backend = "reference";
  options.compute_f32 = true;
  options.threads = 1;  // a pass a token: on a busy machine threads would wait for each other
  return options;
}

LogitsSink Collect(std::vector<float>& logits) {
  return [&logits](size_t, std::span<const float> rows) {
    logits.insert(logits.end(), rows.begin(), rows.end());
  };
}

float LargestDifference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

constexpr float kRounding = 2e-5f;  // as in session_test.cc
constexpr size_t kLayers = 3, kHeads = 2, kDim = 8;
constexpr size_t kSlack = 64;  // behind every array

// Bytes of a dense f32 key and value in one layer, and of the slack of its arrays.
constexpr size_t LayerBytes(size_t tokens) {
  return kHeads * 2 * (tokens * kDim * sizeof(float) + kSlack);
}

// A tail grows in steps of a quarter, at least 32 tokens.
constexpr size_t Grown(size_t tokens) { return tokens + std::max<size_t>(32, tokens / 4); }

TEST_CASE("the dense tail never exceeds the interval and what a stage keeps", "[passes]") {
  struct Case {
    std::string plan;
    size_t keep;
  };
  for (const Case& c : {Case{"none", 0}, Case{"spark:0.8", 0}, Case{"think:0.5", 0},
                        Case{"spark:0.8[keep=8,sinks=4]", 8}}) {
    for (const size_t interval : {1, 16, 40}) {
      CAPTURE(c.plan, interval);
      Session session(TinyLlama(), Options(c.plan, interval));
      session.Prefill(SomeTokens(50));
      const size_t most = kLayers * LayerBytes(Grown(interval + c.keep));
      const Progress watch = [&](size_t done, size_t total) {
        CHECK(done <= total);
        CHECK(session.kv_bytes().dense_tail <= most);
        return true;
      };
      // Longer than the interval, in one call; then token by token.
      session.Append(SomeTokens(100), watch);
      for (size_t i = 0; i < 60; ++i) {
        session.Append(SomeTokens(1), watch);
        CHECK(session.kv_bytes().dense_tail <= most);
      }
      CHECK(session.position() == 210);
      for (const float logit : session.NextLogits()) CHECK(std::isfinite(logit));
    }
  }
}

TEST_CASE("passes over generated tokens take fewer bytes than a dense tail", "[passes]") {
  const auto bytes = [](const std::string& plan, size_t interval) {
    SessionOptions options = Options(plan, interval);
    options.cache_type_k = options.cache_type_v = CacheType::kF16;
    options.context_size = 3000;
    Session session(TinyLlama(), options);
    session.Prefill(SomeTokens(40));
    session.Append(SomeTokens(1000));
    return session.kv_bytes().total();
  };
  const size_t dense = bytes("spark:0.8", 0);
  CHECK(bytes("spark:0.8", 128) <
        dense * 95 / 100);  // of 8 channels, masks and signs are a quarter
  CHECK(bytes("think:0.5", 128) < dense * 85 / 100);
}

TEST_CASE("without a plan, passes over generated tokens change nothing but rounding", "[passes]") {
  std::vector<float> dense;
  std::vector<float> passes;
  Session one(TinyLlama(), Options("none"));
  one.Prefill(SomeTokens(30));
  one.Append(SomeTokens(200), {}, Collect(dense));
  Session two(TinyLlama(), Options("none", 7));
  two.Prefill(SomeTokens(30));
  two.Append(SomeTokens(200), {}, Collect(passes));
  CHECK(LargestDifference(dense, passes) < kRounding);
}

TEST_CASE("Rewind undoes what passes over generated tokens did, and runs repeat", "[passes]") {
  for (const std::string plan : {"none", "spark:0.8", "think:0.5", "spark:0.8[keep=8,sinks=4]"}) {
    CAPTURE(plan);
    Session session(TinyLlama(), Options(plan, 5));
    session.Prefill(SomeTokens(60));
    const std::vector<float> after_context(session.NextLogits().begin(),
                                           session.NextLogits().end());
    const KvBytes bytes = session.kv_bytes();
    std::vector<float> first;
    session.Append(SomeTokens(150), {}, Collect(first));
    session.Rewind();
    CHECK(session.position() == 60);
    CHECK(session.kv_bytes().total() - session.kv_bytes().dense_tail == bytes.total());
    CHECK(LargestDifference(session.NextLogits(), after_context) == 0);
    std::vector<float> second;
    session.Append(SomeTokens(150), {}, Collect(second));
    CHECK(first == second);

    SessionOptions options = Options(plan, 5);
    options.threads = 2;
    std::vector<float> other;
    Session again(TinyLlama(), options);
    again.Prefill(SomeTokens(60));
    again.Append(SomeTokens(150), {}, Collect(other));
    CHECK(first == other);
  }
}

TEST_CASE("a context in chunks is never more than one chunk of one layer dense", "[passes]") {
  constexpr size_t kTokens = 200;
  for (const std::string plan : {"none", "spark:0.8", "think:0.5"}) {
    for (const size_t chunk : {1, 32, 64, 199, 200, 1000}) {
      CAPTURE(plan, chunk);
      SessionOptions options = Options(plan, 0, chunk);
      options.batch_size = 16;
      Session session(TinyLlama(), options);
      const size_t most = LayerBytes(std::min(chunk, kTokens));
      size_t peak = 0;
      session.Prefill(SomeTokens(kTokens), [&](size_t done, size_t total) {
        CHECK(done <= total);
        const KvBytes bytes = session.kv_bytes();
        // The other layer's empty tails keep nothing but slack.
        CHECK(bytes.dense_tail <= most + kLayers * kHeads * 2 * kSlack);
        peak = std::max(peak, bytes.total());
        return true;
      });
      const size_t compressed = session.kv_bytes().total();
      CHECK(session.kv_bytes().dense_tail <= kLayers * kHeads * 2 * kSlack);
      CHECK(peak <= compressed + most + kLayers * kHeads * 2 * kSlack);
      for (const float logit : session.NextLogits()) CHECK(std::isfinite(logit));
    }
  }
}

TEST_CASE("a chunk as long as the context is no chunk", "[passes]") {
  const auto logits = [](const std::string& plan, size_t chunk) {
    std::vector<float> out;
    Session session(TinyLlama(), Options(plan, 0, chunk));
    session.Prefill(SomeTokens(70), {}, Collect(out));
    session.Append(SomeTokens(5), {}, Collect(out));
    return out;
  };
  for (const std::string plan : {"none", "spark:0.8", "think:0.5", "spark:0.8[keep=8,sinks=4]"}) {
    CAPTURE(plan);
    const std::vector<float> whole = logits(plan, 0);
    CHECK(logits(plan, 70) == whole);
    CHECK(logits(plan, 1000) == whole);
  }
  const std::vector<float> whole = logits("none", 0);
  for (const size_t chunk : {1, 7, 64, 69}) {
    CHECK(LargestDifference(logits("none", chunk), whole) < kRounding);
  }
}

TEST_CASE("the memory plan knows chunks, the tail's bound and the queries it looks at",
          "[passes]") {
  SessionOptions options = Options("spark:0.8[keep=8]", 128, 64);
  options.context_size = 1000;
  const MemoryPlan plan = PlanMemory(TinyLlama(), options);
  CHECK(plan.dense_layer == 64 * kHeads * kDim * 2 * sizeof(float));
  CHECK(plan.tail_tokens == 136);
  CHECK(plan.dense_tail == 136 * kLayers * kHeads * kDim * 2 * sizeof(float));
  CHECK(plan.queries > 0);
  CHECK(plan.queries <= 64 * TinyLlama().info().n_heads * kDim * sizeof(float));
  options = Options("spark:0.8", 0, 64);
  options.context_size = 1000;
  Session session(TinyLlama(), options);
  session.Prefill(SomeTokens(1000));
  CHECK(PlanMemory(TinyLlama(), options).kv.total() == session.kv_bytes().total());
  const std::string text = ToText(plan);
  CHECK(text.find("a chunk of 64 tokens") != text.npos);
  CHECK(text.find("at most 136 tokens") != text.npos);
}

}  // namespace passes_test
}  // namespace spark
