#include "eval/metric.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "eval/metric_text.h"
#include "eval/seeded_random.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_text.h"

namespace spark {
namespace metric_test {

using Answers = std::vector<std::string>;

double One(MetricKind kind, const std::string& prediction, const std::string& answer) {
  return Score(kind, prediction, Answers{answer});
}

TEST_CASE("Metrics are those of independent packages", "[eval][metric]") {
  // tests/data/eval/make_metric_fixtures.py
  std::ifstream in(SPARK_TEST_DATA "/eval/metrics.json");
  const nlohmann::json cases = nlohmann::json::parse(in);
  REQUIRE(cases.size() >= 50);
  for (const auto& item : cases) {
    const auto prediction = item["prediction"].get<std::string>();
    const auto answer = item["answer"].get<std::string>();
    CAPTURE(prediction, answer);
    const auto check = [&](MetricKind kind, double margin) {
      CAPTURE(Name(kind));
      const auto expected = item[std::string(Name(kind))].get<double>();
      CHECK(One(kind, prediction, answer) == Catch::Approx(expected).margin(margin));
    };
    check(MetricKind::kExact, 0);
    check(MetricKind::kF1, 2e-6);  // computed in float
    check(MetricKind::kRougeL, 1e-8);
    check(MetricKind::kEditSimilarity, 1e-8);
  }
}

TEST_CASE("Recall counts the answers that the prediction holds", "[eval][metric]") {
  const auto recall = [](const std::string& prediction, const Answers& answers) {
    return Score(MetricKind::kRecall, prediction, answers);
  };
  CHECK(recall("The codes are 12 and 34.", {"12", "34"}) == 1);
  CHECK(recall("The codes are 12 and 35.", {"12", "34"}) == 0.5);
  CHECK(recall("amber FALCON", {"Amber Falcon", "owl", "fox", "hare"}) == 0.25);
  CHECK(recall("ÄPFEL", {"äpfel"}) == 1);
  CHECK(recall("", {"12"}) == 0);
  CHECK(recall("1 2", {"12"}) == 0);
  CHECK(recall("12", {"12", "12"}) == 1);
}

TEST_CASE("Other metrics take the best answer", "[eval][metric]") {
  const Answers answers = {"a red house", "the blue barn", "mill"};
  CHECK(Score(MetricKind::kExact, "Blue barn.", answers) == 1);
  CHECK(Score(MetricKind::kExact, "blue barn mill", answers) == 0);
  CHECK(Score(MetricKind::kF1, "blue barn mill", answers) == Catch::Approx(0.8));
  CHECK(Score(MetricKind::kRougeL, "blue barn mill", answers) == Catch::Approx(2.0 / 3));
  CHECK(Score(MetricKind::kEditSimilarity, "mills", answers) == Catch::Approx(8.0 / 9));
}

TEST_CASE("Without answers every score is 0, and any bytes are scored", "[eval][metric]") {
  std::mt19937 random(5);
  for (const std::string_view name : MetricNames()) {
    const MetricKind kind = ParseMetric(name, "metric");
    CHECK(Name(kind) == name);
    CHECK(Score(kind, "text", {}) == 0);
    for (int i = 0; i < 50; ++i) {
      std::string text = test::RandomBytes(random, 60);
      text += 'x';
      const double same = One(kind, text, text);
      CAPTURE(name, text);
      CHECK((same >= 0 && same <= 1));
      const double other = One(kind, text, test::RandomBytes(random, 60));
      CHECK((other >= 0 && other <= 1));
    }
  }
  // Bytes that are no characters differ from each other, and from characters.
  CHECK(One(MetricKind::kEditSimilarity, "\xFF\xFE", "\xFF\xFE") == 1);
  CHECK(One(MetricKind::kEditSimilarity, "\xFF", "\xFE") == 0);
  CHECK(One(MetricKind::kEditSimilarity, "\xFF", "ÿ") == 0);
}

TEST_CASE("Names of metrics are checked", "[eval][metric]") {
  test::ExpectError([] { ParseMetric("rouge", "--metric"); },
                    {"--metric", "'rouge'", "exact", "recall", "f1", "rouge_l", "edit_similarity"});
}

TEST_CASE("The first line of code is found as LongBench does", "[eval][metric]") {
  CHECK(FirstCodeLine("\n\nx = 1\ny") == "x = 1");
  CHECK(FirstCodeLine("```c\n// why\nint a;\nint b;") == "int a;");
  CHECK(FirstCodeLine("# only") == "");
  CHECK(FirstCodeLine("a\n") == "a");
  CHECK(FirstCodeLine("#\n\nx") == "");  // an empty line is a line
}

TEST_CASE("The longest common subsequence does not depend on the order", "[eval][metric]") {
  const auto length = [](const std::string& a, const std::string& b) {
    const std::vector<uint32_t> left = CodePoints(a);
    const std::vector<uint32_t> right = CodePoints(b);
    const size_t one = LongestCommonSubsequence<uint32_t>(left, right);
    CHECK(one == LongestCommonSubsequence<uint32_t>(right, left));
    return one;
  };
  CHECK(length("", "abc") == 0);
  CHECK(length("abc", "abc") == 3);
  CHECK(length("abcbdab", "bdcaba") == 4);
  CHECK(length("aaaa", "aa") == 2);
}

TEST_CASE("A mean comes with its bootstrap interval", "[eval][metric]") {
  SECTION("of values that are all equal") {
    const Estimate estimate = MeanWithInterval(std::vector<double>(10, 0.25), 1);
    CHECK(estimate.mean == 0.25);
    CHECK(estimate.low == 0.25);
    CHECK(estimate.high == 0.25);
    CHECK(estimate.n == 10);
  }
  SECTION("of hits and misses it is close to the binomial one") {
    std::vector<double> values(200, 1.0);
    std::fill_n(values.begin(), 60, 0.0);
    const Estimate estimate = MeanWithInterval(values, 7);
    const double half = 1.96 * std::sqrt(0.7 * 0.3 / 200);
    CHECK(estimate.mean == Catch::Approx(0.7));
    CHECK(estimate.low == Catch::Approx(0.7 - half).margin(0.006));
    CHECK(estimate.high == Catch::Approx(0.7 + half).margin(0.006));
  }
  SECTION("the same for the same seed, whatever machine") {
    const std::vector<double> values = {0.1, 0.9, 0.4, 0.4, 1.0, 0.0, 0.7};
    const Estimate estimate = MeanWithInterval(values, 3);
    const Estimate again = MeanWithInterval(values, 3);
    CHECK(estimate.low == again.low);
    CHECK(estimate.high == again.high);
    // By the same definition in Python (SplitMix64 and FNV-1a written again).
    CHECK(estimate.low == Catch::Approx(0.242857143));
    CHECK(estimate.high == Catch::Approx(0.757142857));
  }
  SECTION("of nothing it is unknown") {
    const Estimate estimate = MeanWithInterval({}, 3);
    CHECK(std::isnan(estimate.mean));
    CHECK(std::isnan(estimate.low));
    CHECK(estimate.n == 0);
  }
}

TEST_CASE("Seeded choices are fair and fixed", "[eval][metric]") {
  // First outputs of SplitMix64 for the seed 1234567, from its author's C code.
  SeededRandom known(1234567);
  CHECK(known.Next() == 6457827717110365317u);
  CHECK(known.Next() == 3203168211198807973u);
  CHECK(known.Next() == 9817491932198370423u);

  SeededRandom random(5);
  std::vector<size_t> counts(7, 0);
  for (int i = 0; i < 70'000; ++i) ++counts[random.Below(7)];
  for (const size_t count : counts) CHECK((count > 9'600 && count < 10'400));

  const std::vector<int> list = {1, 2, 3, 4, 5, 6};
  const std::vector<int> sample = random.Sample(list, 4);
  CHECK(std::set<int>(sample.begin(), sample.end()).size() == 4);
  std::vector<int> shuffled = list;
  random.Shuffle(shuffled);
  CHECK(std::ranges::is_permutation(shuffled, list));
  CHECK(SeededRandom(1, "a", 0).Next() != SeededRandom(1, "a", 1).Next());
  CHECK(SeededRandom(1, "a", 0).Next() != SeededRandom(1, "b", 0).Next());
  CHECK(SeededRandom(1, "a", 0).Next() != SeededRandom(2, "a", 0).Next());
}

}  // namespace metric_test
}  // namespace spark
