#include "spark/session.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <numeric>

#include "spark/error.h"

namespace spark {
namespace session_test {

const Model& TinyLlama() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  return model;
}

std::vector<TokenId> SomeTokens(size_t n) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<TokenId>((i * 37 + i * i * 11) % 320);
  return ids;
}

SessionOptions Options(const std::string& plan, const std::string& backend = "reference") {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.backend = backend;
  options.compute_f32 = true;
  options.threads = 2;
  return options;
}

// Collects all rows that a sink is given.
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

// The logits of this model lie within ±1; f32 sums of 64 terms in another order differ by about
// 1e-6.
constexpr float kRounding = 2e-5f;

TEST_CASE("how tokens are cut into batches changes nothing but rounding", "[session]") {
  const std::vector<TokenId> ids = SomeTokens(50);
  for (const std::string backend : {"reference", "cpu"}) {
    std::vector<std::vector<float>> results;
    for (const size_t batch_size : {512, 50, 49, 7, 1}) {
      SessionOptions options = Options("spark:0.5", backend);
      options.batch_size = batch_size;
      Session session(TinyLlama(), options);
      session.Prefill(ids, {}, Collect(results.emplace_back()));
      session.Append(ids, {}, Collect(results.back()));
    }
    for (const std::vector<float>& result : results) {
      INFO(backend);
      CHECK(LargestDifference(result, results[0]) < kRounding);
    }
  }
}

TEST_CASE("a context fed in two parts without compression gives the same logits", "[session]") {
  const std::vector<TokenId> ids = SomeTokens(40);
  const std::span<const TokenId> all(ids);
  std::vector<float> whole;
  std::vector<float> parts;
  Session one(TinyLlama(), Options("none"));
  one.Prefill(all, {}, Collect(whole));
  Session two(TinyLlama(), Options("none"));
  two.Prefill(all.first(25), {}, Collect(parts));
  two.Append(all.subspan(25, 1), {}, Collect(parts));
  two.Append(all.subspan(26), {}, Collect(parts));
  CHECK(LargestDifference(whole, parts) < kRounding);
  CHECK(LargestDifference(one.NextLogits(), two.NextLogits()) < kRounding);
}

TEST_CASE("Rewind gives every question the same context", "[session]") {
  const std::vector<TokenId> question = SomeTokens(9);
  for (const std::string plan : {"none", "spark:0.8", "think:0.5"}) {
    Session session(TinyLlama(), Options(plan, "cpu"));
    session.Prefill(SomeTokens(60));
    const std::vector<float> after_context(session.NextLogits().begin(),
                                           session.NextLogits().end());
    const KvBytes bytes = session.kv_bytes();
    std::vector<float> first;
    session.Append(question, {}, Collect(first));
    CHECK(session.position() == 69);
    session.Rewind();
    CHECK(session.position() == 60);
    CHECK(session.kv_bytes().key_values == bytes.key_values);
    CHECK(LargestDifference(session.NextLogits(), after_context) == 0);
    session.Append(SomeTokens(3));
    session.Rewind();
    std::vector<float> second;
    session.Append(question, {}, Collect(second));
    CHECK(first == second);
  }
}

TEST_CASE("at no time is more than one layer dense", "[session]") {
  constexpr size_t kTokens = 200;
  SessionOptions options = Options("spark:0.8");
  options.batch_size = 64;
  Session session(TinyLlama(), options);
  const ModelInfo& info = TinyLlama().info();
  const size_t one_layer = 2 * kTokens * info.n_kv_heads * info.head_dim * sizeof(float);
  const size_t slack = 2 * info.n_kv_heads * 64;  // of two arrays a head
  size_t calls = 0;
  session.Prefill(SomeTokens(kTokens), [&](size_t done, size_t total) {
    CHECK(done <= total);
    CHECK(session.kv_bytes().dense_tail <= one_layer + slack);
    ++calls;
    return true;
  });
  CHECK(calls == 4 * info.n_layers);
  CHECK(session.kv_bytes().dense_tail == 0);
}

TEST_CASE("bytes are those of the packed arrays", "[session]") {
  constexpr size_t kTokens = 100;
  SessionOptions options = Options("spark:0.5");
  options.cache_type_k = options.cache_type_v = CacheType::kF16;
  Session session(TinyLlama(), options);
  session.Prefill(SomeTokens(kTokens));
  const KvBytes bytes = session.kv_bytes();
  const size_t heads = 3 * 2;  // layers, KV heads; head_dim is 8
  const size_t slack = 64;     // behind every array
  CHECK(bytes.key_values == heads * (kTokens * 4 * 2 + slack));
  CHECK(bytes.key_masks == heads * (kTokens + slack));
  CHECK(bytes.key_signs == heads * (kTokens + slack));
  CHECK(bytes.key_scalars == heads * (kTokens * 2 + slack + 8 * 4 + slack));
  CHECK(bytes.values == heads * (kTokens * 8 * 2 + slack));
  CHECK(bytes.dense_tail == 0);
  const KvBytes estimate =
      EstimateKvBytes(TinyLlama().info(), options.plan, CacheType::kF16, CacheType::kF16, kTokens);
  CHECK(estimate.total() == bytes.total());
  CHECK(session.kv_bytes_dense_f16() == heads * kTokens * 8 * 2 * 2);
}

TEST_CASE("a context that a session can't take is refused", "[session]") {
  SessionOptions options = Options("none");
  options.context_size = 10;
  Session session(TinyLlama(), options);
  CHECK_THROWS_AS(session.Prefill({}), Error);
  CHECK_THROWS_AS(session.Prefill(std::vector<TokenId>{1, 320}), Error);
  CHECK_THROWS_AS(session.Prefill(std::vector<TokenId>{-1}), Error);
  CHECK_THROWS_AS(session.Prefill(SomeTokens(11)), Error);
  CHECK_THROWS_AS(session.NextLogits(), Error);
  session.Prefill(SomeTokens(9));
  CHECK_THROWS_AS(session.Prefill(SomeTokens(1)), Error);
  CHECK_THROWS_AS(session.Append(SomeTokens(2)), Error);
  session.Append(SomeTokens(1));
  CHECK(session.position() == 10);
}

TEST_CASE("an interrupted question leaves the context whole", "[session]") {
  Session session(TinyLlama(), Options("spark:0.5"));
  session.Prefill(SomeTokens(30));
  std::vector<float> before;
  session.Append(SomeTokens(5), {}, Collect(before));
  session.Rewind();
  CHECK_THROWS_AS(session.Append(SomeTokens(5), [](size_t, size_t) { return false; }), Interrupted);
  CHECK_THROWS_AS(session.Append(SomeTokens(1)), Error);
  session.Rewind();
  std::vector<float> after;
  session.Append(SomeTokens(5), {}, Collect(after));
  CHECK(before == after);
}

TEST_CASE("options that can't be meant are refused", "[session]") {
  const auto refused = [](auto change) {
    SessionOptions options = Options("none");
    change(options);
    CHECK_THROWS_AS(Session(TinyLlama(), options), UsageError);
  };
  refused([](SessionOptions& o) { o.backend = "gpu"; });
  refused([](SessionOptions& o) { o.threads = -1; });
  refused([](SessionOptions& o) { o.threads = 1 << 20; });
  refused([](SessionOptions& o) { o.batch_size = 0; });
}

}  // namespace session_test
}  // namespace spark
