#include "eval/verdict.h"

#include <array>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <string>
#include <vector>

#include "tests/eval/sweep_fixture.h"

namespace spark {
namespace verdict_test {

using Catch::Approx;
using test::NllPoint;
using test::Point;

Verdict Judge(const std::vector<Record>& records, double limit) {
  const auto verdicts = JudgePlans(records, std::array{limit});
  REQUIRE(verdicts.size() == 1);
  return verdicts[0];
}

std::string Best(const std::vector<Record>& records, double limit) {
  const Verdict verdict = Judge(records, limit);
  return verdict.best ? verdict.best->kv : "";
}

TEST_CASE("The best plan has the fewest bytes below the limit", "[eval][verdict]") {
  const std::vector<Record> records = {NllPoint("none", 0, 1), NllPoint("spark:0.5", 0.004, 0.8),
                                       NllPoint("spark:0.8", 0.0099, 0.67),
                                       NllPoint("spark:0.9", 0.01, 0.6),  // not below 1 %
                                       NllPoint("think:0.9", 0.4, 0.5)};
  CHECK(Best(records, 0.01) == "spark:0.8");
  CHECK(Best(records, 0.05) == "spark:0.9");
  CHECK(Best(records, 0.001).empty());

  const Verdict verdict = Judge(records, 0.01);
  CHECK(verdict.plans == 4);
  CHECK(verdict.tasks == std::vector<std::string>{"nll"});
  CHECK(verdict.best->kv_share == 0.67);
  CHECK(verdict.best->tasks[0].baseline == 10);
  CHECK_FALSE(verdict.closest);
}

TEST_CASE("When no plan qualifies the closest one is told", "[eval][verdict]") {
  const Verdict verdict = Judge({NllPoint("none", 0, 1), NllPoint("a:0.5", 0.3, 0.5),
                                 NllPoint("b:0.5", 0.2, 0.6), NllPoint("c:0.5", 0.1, 1.02)},
                                0.05);
  CHECK_FALSE(verdict.best);
  REQUIRE(verdict.closest);
  CHECK(verdict.closest->kv == "b:0.5");  // c saves nothing
}

TEST_CASE("A plan has to hold on every task", "[eval][verdict]") {
  const std::vector<Record> records = {
      NllPoint("none", 0, 1),        Point("none", "needle", 0.95, 1),
      NllPoint("a:0.9", 0.001, 0.5), Point("a:0.9", "needle", 0.80, 0.5),  // loses needles
      NllPoint("b:0.5", 0.002, 0.7), Point("b:0.5", "needle", 0.94, 0.7),
      NllPoint("c:0.8", 0.001, 0.6)};  // needle is still to come
  const Verdict verdict = Judge(records, 0.05);
  REQUIRE(verdict.best);
  CHECK(verdict.best->kv == "b:0.5");
  CHECK(verdict.tasks == std::vector<std::string>{"nll", "needle"});
  CHECK(verdict.best->tasks[1].loss == Approx(0.01));
  CHECK(verdict.best->worst_loss == Approx(0.01));
  CHECK(verdict.plans == 2);
  CHECK(verdict.incomplete == 1);
}

TEST_CASE("A failed task is a missing task", "[eval][verdict]") {
  std::vector<Record> records = {NllPoint("none", 0, 1), Point("none", "vt", 0.9, 1),
                                 NllPoint("a:0.5", 0, 0.7), Point("a:0.5", "vt", 0.9, 0.7)};
  CHECK(Best(records, 0.01) == "a:0.5");
  records[3]["status"] = "failed";
  CHECK(Best(records, 0.01).empty());
  records[3]["status"] = "ok";
  records[3]["score"] = nullptr;
  CHECK(Best(records, 0.01).empty());
}

TEST_CASE("Plans of equal bytes: the one of less loss", "[eval][verdict]") {
  CHECK(Best({NllPoint("none", 0, 1), NllPoint("a:0.5", 0.02, 0.5), NllPoint("b:0.5", 0.01, 0.5),
              NllPoint("c:0.5", 0.03, 0.5)},
             0.05) == "b:0.5");
}

TEST_CASE("The uncompressed cache is never the answer, types beside it may be", "[eval][verdict]") {
  Record q8 = NllPoint("none", 0.001, 0.53);
  q8["cache_type_k"] = q8["cache_type_v"] = "q8_0";
  CHECK(Best({NllPoint("none", 0, 0.99)}, 0.05).empty());
  const Verdict verdict = Judge({NllPoint("none", 0, 1), q8}, 0.05);
  REQUIRE(verdict.best);
  CHECK(verdict.best->cache_type_k == "q8_0");
}

TEST_CASE("Tasks without an uncompressed score are left out and named", "[eval][verdict]") {
  const Verdict verdict =
      Judge({NllPoint("a:0.5", 0.001, 0.5), Point("a:0.5", "needle", 0.2, 0.5)}, 0.05);
  REQUIRE(verdict.best);  // by nll, which brings its loss along
  CHECK(verdict.tasks == std::vector<std::string>{"nll"});
  CHECK(verdict.left_out == std::vector<std::string>{"needle"});
  CHECK(ToJson(verdict)["best"]["tasks"][0]["baseline"].is_null());

  const Verdict none = Judge({Point("a:0.5", "needle", 0.2, 0.5)}, 0.05);
  CHECK_FALSE(none.best);
  CHECK_FALSE(none.closest);
}

TEST_CASE("Every context is judged by itself, smallest first", "[eval][verdict]") {
  const std::vector<Record> records = {
      NllPoint("none", 0, 1, 4096), NllPoint("a:0.5", 0.2, 0.5, 4096), NllPoint("none", 0, 1, 1024),
      NllPoint("a:0.5", 0.02, 0.5, 1024)};
  const auto verdicts = JudgePlans(records, std::array{0.01, 0.05});
  REQUIRE(verdicts.size() == 4);
  CHECK(verdicts[0].context == 1024);
  CHECK(verdicts[0].limit == 0.01);
  CHECK_FALSE(verdicts[0].best);
  CHECK(verdicts[1].best);
  CHECK(verdicts[2].context == 4096);
  CHECK_FALSE(verdicts[3].best);
}

TEST_CASE("Speed is compared at the deepest cache and most threads of both", "[eval][verdict]") {
  const auto speed = [](const std::string& kv, size_t threads, auto... rows) {
    Record record = Point(kv, "speed", 0, 0.5);
    record["score"] = nullptr;
    record["threads"] = threads;
    record["speed"] = Record::array();
    (record["speed"].push_back({{"depth", rows.first}, {"decode_tokens_per_second", rows.second}}),
     ...);
    return record;
  };
  std::vector<Record> records = {NllPoint("none", 0, 1), NllPoint("a:0.5", 0, 0.5)};
  CHECK_FALSE(Judge(records, 0.05).best->speed_gain);

  records[0]["decode_tokens_per_second"] = 10;
  records[1]["decode_tokens_per_second"] = 11;
  CHECK(Judge(records, 0.05).best->speed_gain == Approx(1.1));
  CHECK(Judge(records, 0.05).best->speed_context == 1024);

  // The speed task says more than what other tasks measured beside.
  records.push_back(speed("none", 1, std::pair(1024, 10.0), std::pair(4096, 8.0)));
  records.push_back(
      speed("a:0.5", 1, std::pair(1024, 12.0), std::pair(4096, 12.0), std::pair(16384, 9.0)));
  CHECK(Judge(records, 0.05).best->speed_gain == Approx(1.5));
  CHECK(Judge(records, 0.05).best->speed_context == 4096);

  records.push_back(speed("none", 4, std::pair(1024, 20.0)));
  records.push_back(speed("a:0.5", 4, std::pair(1024, 50.0)));
  CHECK(Judge(records, 0.05).best->speed_gain == Approx(2.5));
}

TEST_CASE("Records of wrong types count as not measured", "[eval][verdict]") {
  Record wrong = NllPoint("a:0.5", 0.001, 0.5);
  wrong["kv_share"] = "half";
  wrong["context"] = -5;
  wrong["speed"] = 7;
  wrong["threads"] = 1e300;
  Record list = Record::array({1, 2});
  Record infinite = NllPoint("b:0.5", 0, 0.5);
  infinite["perplexity_loss"] = std::numeric_limits<double>::infinity();
  const auto verdicts =
      JudgePlans(std::vector<Record>{wrong, list, nullptr, "text", infinite}, std::array{0.05});
  for (const Verdict& verdict : verdicts) CHECK_FALSE(verdict.best);
  CHECK(JudgePlans({}, std::array{0.05}).empty());
}

TEST_CASE("The verdict on the sweep of the fixture", "[eval][verdict]") {
  const auto verdicts = JudgePlans(test::FixtureRecords(), std::array{0.01, 0.05});
  REQUIRE(verdicts.size() == 6);  // contexts 1024, 2048 and 4096
  const Verdict& one = verdicts[4];
  const Verdict& five = verdicts[5];
  CHECK(one.context == 4096);
  CHECK(one.tasks == std::vector<std::string>{"nll", "multikey", "needle", "vt"});
  REQUIRE(one.best);
  CHECK(one.best->kv == "spark-plus:0.8");
  CHECK(one.best->cache_type_v == "q4_0");
  REQUIRE(five.best);
  CHECK(five.best->kv == "expected:0.5+spark-plus:0.9");
  CHECK(five.best->kv_share == Approx(0.13238).epsilon(1e-3));
  CHECK(five.best->speed_context == 16384);
}

}  // namespace verdict_test
}  // namespace spark
