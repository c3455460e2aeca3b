// Sessions of models with sliding windows: Gemma 3's tiny twin has windows of 16 tokens in six of
// seven layers, Mistral's of 24 in all.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "model/config.h"
#include "spark/error.h"
#include "spark/memory_plan.h"
#include "spark/session.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace windows_test {

using test::ExpectError;
using test::TempDir;

const Model& Gemma() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/gemma3");
  return model;
}
const Model& Mistral() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/mistral-window");
  return model;
}

std::vector<TokenId> SomeTokens(size_t n, size_t first = 0) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t j = first + i;
    ids[i] = static_cast<TokenId>((j * 37 + j * j * 11) % 320);
  }
  return ids;
}

SessionOptions Options(const std::string& plan, const std::string& backend = "cpu") {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.backend = backend;
  options.compute_f32 = true;
  options.threads = 1;
  options.batch_size = 10;  // tiles that the windows move through
  return options;
}

std::vector<float> Logits(Session& session, size_t n, size_t first) {
  std::vector<float> logits;
  session.Append(SomeTokens(n, first), {}, [&](size_t, std::span<const float> rows) {
    logits.insert(logits.end(), rows.begin(), rows.end());
  });
  return logits;
}

float LargestDifference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

constexpr float kRounding = 2e-5f;  // as in session_test.cc

// Bytes of dense f32 keys and values of the layers with a window, and slack behind every array.
uint64_t WindowBytes(const Model& model) {
  const ModelConfig& config = model.config();
  uint64_t bytes = 0;
  for (const size_t window : config.windows()) {
    if (window > 0) bytes += 2 * (window * config.kv_size() * 4 + config.n_kv_heads * 64);
  }
  return bytes;
}

TEST_CASE("tokens pass through windows one by one, in tiles and in chunks alike", "[windows]") {
  for (const Model* model : {&Gemma(), &Mistral()}) {
    for (const std::string backend : {"reference", "cpu"}) {
      CAPTURE(model->info().arch, backend);
      Session whole(*model, Options("none", backend));
      whole.Prefill(SomeTokens(60));
      const std::vector<float> expected = Logits(whole, 30, 60);

      SessionOptions options = Options("none", backend);
      options.prefill_chunk = 23;
      Session chunks(*model, options);
      chunks.Prefill(SomeTokens(60));
      std::vector<float> logits;
      for (size_t i = 0; i < 30; ++i) {
        const std::vector<float> row = Logits(chunks, 1, 60 + i);
        logits.insert(logits.end(), row.begin(), row.end());
      }
      CHECK(LargestDifference(logits, expected) < kRounding);
    }
  }
}

TEST_CASE("a window is all that its layers hold, however long the text", "[windows]") {
  SessionOptions options = Options("none");
  options.keep_context = false;
  Session session(Mistral(), options);
  session.Prefill(SomeTokens(100));
  CHECK(session.kv_bytes().total() == WindowBytes(Mistral()));
  for (size_t i = 0; i < 60; ++i) Logits(session, 1, 100 + i);
  CHECK(session.kv_bytes().total() == WindowBytes(Mistral()));
  Logits(session, 50, 160);
  CHECK(session.kv_bytes().total() == WindowBytes(Mistral()));
  CHECK(session.kv_bytes().dense_tail == 0);
  const size_t row = Mistral().config().kv_size() * 2 * 2;
  CHECK(session.kv_bytes_dense_f16() == 3 * 24 * row);
  ExpectError([&] { session.Rewind(); }, {"no copy of it was kept"});
}

TEST_CASE("plans leave windows alone unless layers=all", "[windows]") {
  const auto bytes = [](const std::string& plan) {
    SessionOptions options = Options(plan);
    options.keep_context = false;
    Session session(Gemma(), options);
    session.Prefill(SomeTokens(100));
    return session.kv_bytes();
  };
  const ModelConfig& config = Gemma().config();
  const uint64_t none = bytes("none").total();
  CHECK(none == WindowBytes(Gemma()) + 2 * (100 * config.kv_size() * 4 + config.n_kv_heads * 64));
  for (const std::string plan : {"spark:0.5", "think:0.5", "snapkv:0.5[window=8]"}) {
    const std::string all = plan.ends_with(']') ? plan.substr(0, plan.size() - 1) + ",layers=all]"
                                                : plan + "[layers=all]";
    CAPTURE(plan);
    CHECK(bytes(plan).total() < none);
    CHECK(bytes(plan).total() > WindowBytes(Gemma()));
    CHECK(bytes(all).total() < bytes(plan).total());
  }
  // The channel stage alone, and the token stage alone.
  CHECK(bytes("snapkv:0.5[window=8]+spark:0.5[layers=all]").total() <
        bytes("snapkv:0.5[window=8]+spark:0.5").total());
  CHECK(bytes("snapkv:0.5[window=8,layers=all]+spark:0.5").total() <
        bytes("snapkv:0.5[window=8]+spark:0.5").total());
  ExpectError([&] { bytes("spark:0.5[layers=some]"); }, {"layers", "global", "all"});
}

// A stage that removes nothing gives what "none" gives, though the windows are closed segments
// then.
TEST_CASE("compressed windows are left behind token by token", "[windows]") {
  Session plain(Gemma(), Options("none"));
  Session packed(Gemma(), Options("spark:0[layers=all]"));
  for (Session* session : {&plain, &packed}) session->Prefill(SomeTokens(60));
  CHECK(LargestDifference(Logits(packed, 5, 60), Logits(plain, 5, 60)) < kRounding);
  for (size_t i = 65; i < 90; ++i) {
    CHECK(LargestDifference(Logits(packed, 1, i), Logits(plain, 1, i)) < kRounding);
  }

  // Turns: the tail has been around its ring before it is packed.
  SessionOptions turns = Options("spark:0[layers=all]");
  turns.compress_turns = true;
  Session talk(Gemma(), turns);
  Session listen(Gemma(), Options("none"));
  for (Session* session : {&talk, &listen}) session->Prefill(SomeTokens(20));
  for (size_t i = 20; i < 90; ++i) {
    CHECK(LargestDifference(Logits(talk, 1, i), Logits(listen, 1, i)) < kRounding);
    if (i % 23 == 0) talk.CompressTail();
  }

  for (const std::string plan :
       {"spark:0.5[layers=all]", "snapkv:0.5[window=8,layers=all]+spark:0.5[layers=all]",
        "h2o:0.5[layers=all]", "expected:n=10[layers=all]"}) {
    for (const size_t interval : {0, 7}) {
      CAPTURE(plan, interval);
      std::vector<float> logits[2];
      for (const bool reference : {false, true}) {
        SessionOptions options = Options(plan, reference ? "reference" : "cpu");
        options.decode_interval = interval;
        Session session(Gemma(), options);
        session.Prefill(SomeTokens(60));
        logits[reference] = Logits(session, 40, 60);
      }
      CHECK(LargestDifference(logits[0], logits[1]) < 1e-4f);
    }
  }
}

TEST_CASE("a context with windows is gone back to, saved and loaded", "[windows][context-file]") {
  const TempDir dir;
  for (const std::string plan : {"none", "spark:0.8", "spark:0.8[layers=all]",
                                 "snapkv:0.5[window=8,layers=all]+spark:0.5"}) {
    for (const CacheType type : {CacheType::kF16, CacheType::kQ4_0}) {
      CAPTURE(plan, Name(type));
      SessionOptions options = Options(plan);
      options.cache_type_k = options.cache_type_v = type;
      Session session(Gemma(), options);
      session.Prefill(SomeTokens(60));
      const uint64_t bytes = session.kv_bytes().total();
      const std::string path = dir / "saved";
      session.SaveContext(path);
      const std::vector<float> logits = Logits(session, 40, 60);
      session.Rewind();
      CHECK(Logits(session, 40, 60) == logits);

      Session loaded(Gemma(), options);
      loaded.LoadContext(SavedContext::Open(path));
      CHECK(loaded.kv_bytes().total() == bytes);
      CHECK(Logits(loaded, 40, 60) == logits);
      loaded.Rewind();
      for (size_t i = 0; i < 40; ++i) Logits(loaded, 1, 60 + i);
      loaded.Rewind();
      CHECK(Logits(loaded, 40, 60) == logits);
    }
  }
}

TEST_CASE("the memory plan knows windows", "[windows][plan]") {
  for (const std::string plan : {"none", "spark:0.5", "spark:0.5[layers=all]"}) {
    CAPTURE(plan);
    SessionOptions options = Options(plan);
    options.context_size = 60;
    options.keep_context = false;
    Session session(Gemma(), options);
    session.Prefill(SomeTokens(60));
    const MemoryPlan memory = PlanMemory(Gemma(), options);
    CHECK(memory.kv.total() == session.kv_bytes().total());
    CHECK(memory.kv_dense_f16 == session.kv_bytes_dense_f16());
  }
}

}  // namespace windows_test
}  // namespace spark
