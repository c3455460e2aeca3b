// Several sessions prefilled in one pass are what each would be alone.
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <memory>

#include "spark/error.h"
#include "spark/session.h"

namespace spark {
namespace shared_prefill_test {

std::vector<TokenId> SomeTokens(size_t n) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<TokenId>((i * 37 + i * i * 11) % 320);
  return ids;
}

struct Setting {
  std::string plan;
  CacheType k = CacheType::kF16;
  CacheType v = CacheType::kF16;
};

SessionOptions Options(const Setting& setting) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(setting.plan);
  options.cache_type_k = setting.k;
  options.cache_type_v = setting.v;
  options.context_size = 300;
  options.batch_size = 48;
  options.threads = 1;
  return options;
}

// Logits of tokens that follow the context, and of one fed alone.
std::vector<float> Answer(Session& session) {
  const std::vector<TokenId> question = SomeTokens(9);
  std::vector<float> logits(session.NextLogits().begin(), session.NextLogits().end());
  session.Append(question, {}, [&](size_t, std::span<const float> rows) {
    logits.insert(logits.end(), rows.begin(), rows.end());
  });
  session.Append(std::span(question).first(1));
  logits.insert(logits.end(), session.NextLogits().begin(), session.NextLogits().end());
  return logits;
}

const Setting kSettings[] = {
    {"none"},
    {"none", CacheType::kQ8_0, CacheType::kQ4_0},
    {"spark:0.5"},
    {"spark:0.8[keep=4,sinks=2,layers=all]", CacheType::kF32, CacheType::kF32},
    {"think:0.5", CacheType::kBF16, CacheType::kF16},
    {"spark-group[layers=all]"},
    {"snapkv:0.5[window=16]+spark:0.5"},
    {"h2o:0.5[layers=all]"},
    {"expected:0.5"},
    {"snapkv:n=80[layers=all]+think:0.5[layers=all]"},
    {"tova:0.3"},
    {"random:0.5"},
    {"spark-plus:0.5"}};

TEST_CASE("sessions prefilled together are those prefilled alone, to the bit", "[shared]") {
  // Without windows, with windows in some layers, with windows in all.
  for (const std::string name : {"llama", "gemma3", "mistral-window"}) {
    const Model model = Model::Load(SPARK_TEST_DATA "/models/" + name);
    const std::vector<TokenId> ids = SomeTokens(203);
    std::vector<std::unique_ptr<Session>> together;
    std::vector<Session*> sessions;
    for (const Setting& setting : kSettings) {
      together.push_back(std::make_unique<Session>(model, Options(setting)));
      sessions.push_back(together.back().get());
    }
    Session::PrefillTogether(sessions, ids);
    for (size_t i = 0; i < sessions.size(); ++i) {
      CAPTURE(name, kSettings[i].plan);
      Session alone(model, Options(kSettings[i]));
      alone.Prefill(ids);
      CHECK(sessions[i]->kv_bytes().total() == alone.kv_bytes().total());
      CHECK(sessions[i]->kv_bytes().key_values == alone.kv_bytes().key_values);
      CHECK(sessions[i]->context_tokens() == 203);
      CHECK(sessions[i]->kept().layers == alone.kept().layers);
      const std::vector<float> expected = Answer(alone);
      CHECK(Answer(*sessions[i]) == expected);
      // And again behind the same context.
      sessions[i]->Rewind();
      CHECK(Answer(*sessions[i]) == expected);
    }
  }
}

TEST_CASE("what a shared prefill took is told", "[shared]") {
  const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  Session dense(model, Options({"none"}));
  Session sparse(model, Options({"spark:0.5"}));
  Session* sessions[] = {&dense, &sparse};
  size_t last = 0, total = 0;
  Session::PrefillTogether(sessions, SomeTokens(100), [&](size_t done, size_t all) {
    last = done;
    total = all;
    return true;
  });
  CHECK(last == total);
  CHECK(total == 100 * model.info().n_layers);
  CHECK(dense.times().prefill_seconds > 0);
  CHECK(dense.times().prefill_seconds == sparse.times().prefill_seconds);
  CHECK(sparse.times().compress_seconds > 0);
}

TEST_CASE("sessions that compute differently share no prefill", "[shared]") {
  const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  const std::vector<TokenId> ids = SomeTokens(20);
  const auto refused = [&](const auto& change) {
    SessionOptions options = Options({"none"});
    Session first(model, options);
    change(options);
    Session second(model, options);
    Session* sessions[] = {&first, &second};
    CHECK_THROWS_AS(Session::PrefillTogether(sessions, ids), Error);
  };
  refused([](SessionOptions& o) { o.backend = "reference"; });
  refused([](SessionOptions& o) { o.compute_f32 = true; });
  refused([](SessionOptions& o) { o.batch_size = 7; });
  refused([](SessionOptions& o) { o.threads = 2; });
  refused([](SessionOptions& o) { o.prefill_chunk = 8; });
  Session interrupted(model, Options({"none"}));
  Session* sessions[] = {&interrupted};
  CHECK_THROWS_AS(Session::PrefillTogether(sessions, ids, [](size_t, size_t) { return false; }),
                  Interrupted);
}

TEST_CASE("kept shares are those that a plan asks for", "[shared]") {
  const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  const auto kept = [&](const std::string& plan) {
    Session session(model, Options({plan}));
    session.Prefill(SomeTokens(200));
    return session.kept();
  };
  const auto mean = [](const std::vector<double>& shares) {
    double sum = 0;
    for (const double share : shares) sum += share;
    return sum / static_cast<double>(shares.size());
  };
  CHECK(kept("none").channels[0] == std::vector<double>(8, 1.0));
  const KeptShares spark = kept("spark:0.5");
  CHECK(spark.layers == std::vector<double>(3, 0.5));
  for (const auto& channels : spark.channels) CHECK(mean(channels) == Catch::Approx(0.5));
  CHECK(spark.channels[0] != std::vector<double>(8, 0.5));
  CHECK(kept("random:0.5").layers == std::vector<double>(3, 0.5));
  CHECK(kept("random:0.5+spark:0.5").layers == std::vector<double>(3, 0.25));
  const KeptShares think = kept("think:0.25");
  for (const double share : think.channels[1]) CHECK((share == 0 || share == 1 || share < 0.5));
}

}  // namespace shared_prefill_test
}  // namespace spark
