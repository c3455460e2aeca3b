// The channel stages against the functions of SparK's authors (tests/data/spark).
#include "compress/spark.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "backend/backend.h"
#include "compress/think.h"
#include "spark/simd.h"
#include "tests/support/oracle.h"

namespace spark {
namespace spark_test {

using testing::MaskMismatches;
using testing::OracleCase;
using testing::OracleCases;
using testing::OracleHead;
using testing::OracleName;
using testing::OracleVectors;
using testing::WorstRow;

SparseStore PackSparse(const OracleHead& head, double ratio, Recovery recovery) {
  const SparkStage stage({.ratio = ratio, .recovery = recovery});
  std::vector<Segment> segments = stage.Compress(head.context);
  REQUIRE(segments.size() == 1);
  return std::get<SparseStore>(std::move(segments[0].keys));
}

template <class Check>
void ForEachHead(Check check) {
  for (const OracleCase& c : OracleCases()) {
    for (size_t h = 0; h < c.kv_heads; ++h) {
      const OracleHead head(c, h);
      for (const double ratio : c.ratios) {
        INFO(c.name << " head " << h << " ratio " << ratio);
        check(c, h, head, ratio);
      }
    }
  }
}

TEST_CASE("SparK keeps the channels that the authors' code keeps", "[oracle][spark]") {
  ForEachHead([](const OracleCase& c, size_t h, const OracleHead& head, double ratio) {
    const SparseStore store = PackSparse(head, ratio, Recovery::kMean);
    const std::vector<float> weights = ChannelWeights(head.context, WeightNorm::kNorm);
    const auto contribution = [&](size_t t, size_t j) {
      const float key = head.keys[t * c.head_dim + j];
      return key * key * weights[j];
    };
    CHECK(MaskMismatches(store, c, h, OracleName(c, ratio, "kept"), contribution) == 0);
  });
}

TEST_CASE("channel weights are the authors'", "[oracle][spark]") {
  for (const OracleCase& c : OracleCases()) {
    const std::vector<float> expected = OracleVectors().ReadFloats(c.name + ".w");
    for (size_t h = 0; h < c.kv_heads; ++h) {
      const OracleHead head(c, h);
      const std::vector<float> weights = ChannelWeights(head.context, WeightNorm::kNorm);
      for (size_t j = 0; j < c.head_dim; ++j) {
        CHECK(weights[j] == Catch::Approx(expected[h * c.head_dim + j]).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("recovered keys are the authors'", "[oracle][spark]") {
  ForEachHead([](const OracleCase& c, size_t h, const OracleHead& head, double ratio) {
    const SparseStore store = PackSparse(head, ratio, Recovery::kMean);
    CHECK(WorstRow(store, c, h, OracleName(c, ratio, "k_mean"), 1e-10f, 1e-4f) < 1);
  });
}

// Scores of the probe queries, relative to the largest: a score near zero is the difference of
// large terms, so its own size says nothing about precision.
void CheckScores(Backend& backend, const OracleCase& c, size_t h, const OracleHead& head,
                 double ratio, Recovery recovery) {
  const KeyStore store = PackSparse(head, ratio, recovery);
  std::vector<float> scores(c.group() * c.tokens);
  backend.Scores(head.probes.data(), c.group(), store, scores.data());
  const std::string name = recovery == Recovery::kMean ? "scores_mean" : "scores_zero";
  const std::vector<float> expected = OracleVectors().ReadFloats(OracleName(c, ratio, name));
  float largest = 0;
  for (const float score : expected) largest = std::max(largest, std::abs(score));
  float worst = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    worst = std::max(worst, std::abs(scores[i] - expected[h * scores.size() + i]));
  }
  CHECK(worst < 1e-4f * largest);
}

TEST_CASE("scores from the packed form are the authors', on every SIMD target", "[oracle][simd]") {
  for (const std::string& target : SimdTargets()) {
    PinSimdTarget(target);
    const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = 2});
    INFO("target " << target);
    ForEachHead([&](const OracleCase& c, size_t h, const OracleHead& head, double ratio) {
      CheckScores(*cpu, c, h, head, ratio, Recovery::kMean);
      CheckScores(*cpu, c, h, head, ratio, Recovery::kZero);
    });
  }
  PinSimdTarget("auto");
}

TEST_CASE("reference scores are the authors'", "[oracle][spark]") {
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  ForEachHead([&](const OracleCase& c, size_t h, const OracleHead& head, double ratio) {
    CheckScores(*reference, c, h, head, ratio, Recovery::kMean);
    CheckScores(*reference, c, h, head, ratio, Recovery::kZero);
  });
}

TEST_CASE("ThinK drops the channels that the authors' code drops", "[oracle][think]") {
  ForEachHead([](const OracleCase& c, size_t h, const OracleHead& head, double ratio) {
    const std::vector<int64_t> kept = OracleVectors().ReadInts(OracleName(c, ratio, "think_kept"));
    std::vector<uint16_t> expected;
    for (size_t j = 0; j < c.head_dim; ++j) {
      if (kept[h * c.head_dim + j] != 0) expected.push_back(static_cast<uint16_t>(j));
    }
    CHECK(ThinkChannels(head.context, KeptChannels(ratio, c.head_dim)) == expected);
  });
}

TEST_CASE("ties stay with the lower channel", "[spark]") {
  const std::vector<float> key(16, -2.0f);
  std::vector<uint64_t> ranked(16);
  RankChannels(key.data(), std::vector<float>(16, 0.25f), ranked);
  uint8_t mask[2];
  const float s = SelectChannels(ranked, {.ratio = 0.7}, mask);  // floor(0.7 * 16) = 11 go
  CHECK(mask[0] == 0x1F);
  CHECK(mask[1] == 0);
  CHECK(s == 1.0f);  // sqrt of the mean of 4 * 0.25
}

TEST_CASE("a channel that no query uses recovers as zero", "[spark]") {
  constexpr size_t kDim = 8;
  std::vector<float> keys(kDim);
  std::vector<float> queries(kDim, 0.0f);
  for (size_t j = 0; j < kDim; ++j) keys[j] = static_cast<float>(j + 1);
  queries[0] = queries[1] = queries[2] = 1.0f;
  const HeadContext head{.keys = keys.data(),
                         .values = keys.data(),
                         .n_tokens = 1,
                         .head_dim = kDim,
                         .queries = queries.data(),
                         .window = 1,
                         .group = 1,
                         .types = {DType::kF32, DType::kF32}};
  const SparkStage stage({.ratio = 0.75});  // channels 1 and 2 stay
  const std::vector<Segment> segments = stage.Compress(head);
  std::vector<float> row(kDim);
  ReadRow(segments.at(0).keys, 0, row.data());
  CHECK(row[1] == 2.0f);
  CHECK(row[2] == 3.0f);
  CHECK(row[0] == Catch::Approx(std::sqrt(1.0 / 6)));  // mean of 1, 0, 0, 0, 0, 0
  for (size_t j = 3; j < kDim; ++j) CHECK(row[j] == 0.0f);
}

TEST_CASE("sinks and recent tokens stay whole", "[spark]") {
  const OracleCase& c = OracleCases().front();
  const OracleHead head(c, 0);
  const SparkStage stage({.ratio = 0.9, .keep = 5, .sinks = 4});
  const std::vector<Segment> segments = stage.Compress(head.context);
  REQUIRE(segments.size() == 3);
  CHECK(std::holds_alternative<DenseStore>(segments[0].keys));
  CHECK(segments[0].size() == 4);
  CHECK(std::holds_alternative<SparseStore>(segments[1].keys));
  CHECK(segments[1].size() == c.tokens - 9);
  CHECK(std::holds_alternative<DenseStore>(segments[2].keys));
  std::vector<float> row(c.head_dim);
  ReadRow(segments[2].keys, 0, row.data());
  CHECK(std::equal(row.begin(), row.end(), head.keys.end() - 5 * static_cast<int>(c.head_dim)));
}

TEST_CASE("keys in 8 bits lie in lanes while few channels stay", "[spark][lanes]") {
  const OracleHead head(OracleCases().front(), 0);
  const auto in_lanes = [&](SparkOptions options, DType type) {
    HeadContext context = head.context;
    context.types.keys = type;
    return std::holds_alternative<LaneStore>(SparkStage(options).Compress(context)[0].keys);
  };
  const DType q8 = DType::kQ8_0;
  CHECK(in_lanes({.ratio = 0.8}, q8));
  CHECK(in_lanes({.ratio = 0.75}, q8));  // a quarter of the channels
  CHECK_FALSE(in_lanes({.ratio = 0.7}, q8));
  CHECK(in_lanes({.ratio = 0.7, .layout = KeyLayout::kLanes}, q8));
  CHECK_FALSE(in_lanes({.ratio = 0.8, .layout = KeyLayout::kMask}, q8));
  for (const KeyLayout layout : {KeyLayout::kAuto, KeyLayout::kLanes}) {
    CHECK_FALSE(in_lanes({.ratio = 0.8, .layout = layout}, DType::kF16));
    CHECK_FALSE(in_lanes({.ratio = 0.8, .recovery = Recovery::kZero, .layout = layout}, q8));
    CHECK_FALSE(in_lanes({.rule = BudgetRule::kGroup, .layout = layout}, q8));
  }
}

TEST_CASE("ratio 0 and ratios below one channel keep everything", "[spark]") {
  const OracleHead head(OracleCases().front(), 0);
  for (const double ratio : {0.0, 0.001}) {
    const std::vector<Segment> segments = SparkStage({.ratio = ratio}).Compress(head.context);
    REQUIRE(segments.size() == 1);
    CHECK(std::holds_alternative<DenseStore>(segments[0].keys));
  }
}

}  // namespace spark_test
}  // namespace spark
