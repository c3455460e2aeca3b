// Session::RepeatContext(): depths for measurements of speed.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <memory>

#include "spark/session.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace repeat_context_test {

const Model& Embedded() {
  static const Model model = Model::LoadEmbedded();
  return model;
}

std::vector<TokenId> SomeTokens(size_t n) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<TokenId>(i * 7 % 250);
  return ids;
}

Session ReadSession(const std::string& plan, size_t context_size, bool keep = true) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.context_size = context_size;
  options.keep_context = keep;
  options.threads = 1;
  Session session(Embedded(), options);
  session.Prefill(SomeTokens(96));
  return session;
}

TEST_CASE("a repeated context is decoded from at its new depth", "[session]") {
  // spark-plus has a centre, with which segments do not merge.
  for (const char* plan : {"none", "spark:0.5", "spark:0.8[sinks=4,keep=8]", "spark-plus:0.9",
                           "think:0.5", "snapkv:0.5+spark:0.5"}) {
    CAPTURE(plan);
    Session session = ReadSession(plan, 512);
    const size_t before = session.kv_bytes().total();
    session.RepeatContext(4);
    CHECK(session.position() == 384);
    CHECK(session.context_tokens() == 384);
    CHECK(session.kv_bytes().total() > 3 * before);
    CHECK(session.kv_bytes().total() < 5 * before);
    for (int turn = 0; turn < 2; ++turn) {
      session.Append(SomeTokens(3));
      CHECK(session.position() == 387);
      for (const float logit : session.NextLogits()) REQUIRE(std::isfinite(logit));
      session.Rewind();
      CHECK(session.position() == 384);
    }
  }
}

TEST_CASE("only a context that was just read can be repeated, and if it fits", "[session]") {
  Session session = ReadSession("spark:0.5", 300, false);
  CHECK_THROWS_AS(session.RepeatContext(0), Error);
  CHECK_THROWS_AS(session.RepeatContext(4), Error);
  CHECK_THROWS_AS(session.RepeatContext(SIZE_MAX), Error);
  session.RepeatContext(3);
  CHECK(session.position() == 288);
  const test::TempDir dir;
  CHECK_THROWS_AS(session.SaveContext(dir / "context"), Error);  // nobody has read it so
  session.Append(SomeTokens(1));
  CHECK_THROWS_AS(session.RepeatContext(1), Error);
}

TEST_CASE("windows stay as long as they are in a repeated context", "[session][windows]") {
  const Model gemma = Model::Load(SPARK_TEST_DATA "/models/gemma3");  // windows of 16 tokens
  for (const char* plan : {"none", "spark:0.5", "spark:0.5[layers=all]"}) {
    CAPTURE(plan);
    SessionOptions options;
    options.plan = CompressionPlan::Parse(plan);
    options.threads = 1;
    options.context_size = 400;
    const auto read = [&](size_t n) {
      auto session = std::make_unique<Session>(gemma, options);
      session->Prefill(SomeTokens(n));
      return session;
    };
    const auto session = read(48);
    if (options.plan.compresses_windows()) {
      CHECK_THROWS_AS(session->RepeatContext(2), Error);
      continue;
    }
    session->RepeatContext(4);
    CHECK(session->kv_bytes_dense_f16() == read(192)->kv_bytes_dense_f16());
    const double all = static_cast<double>(read(192)->kv_bytes().total());
    CHECK(static_cast<double>(session->kv_bytes().total()) < 1.1 * all);
    CHECK(static_cast<double>(session->kv_bytes().total()) > 0.9 * all);
    session->Append(SomeTokens(20));  // the ring goes round
    for (const float logit : session->NextLogits()) REQUIRE(std::isfinite(logit));
    session->Rewind();
    CHECK(session->position() == 192);
  }
}

}  // namespace repeat_context_test
}  // namespace spark
