// SparK's pruning of values, against the functions of its authors (tests/data/spark).
#include "compress/value_pruning.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "compress/spark.h"
#include "tests/support/oracle.h"

namespace spark {
namespace value_pruning_test {

using testing::MaskMismatches;
using testing::OracleCase;
using testing::OracleCases;
using testing::OracleHead;
using testing::OracleName;
using testing::WorstRow;

HeadContext TinyHead(const std::vector<float>& rows, size_t n_tokens) {
  return {.keys = rows.data(),
          .values = rows.data(),
          .n_tokens = n_tokens,
          .head_dim = rows.size() / n_tokens,
          .queries = rows.data(),
          .window = 1,
          .group = 1,
          .types = {DType::kF32, DType::kF32}};
}

TEST_CASE("pruned values are the authors'", "[oracle][spark]") {
  for (const OracleCase& c : OracleCases()) {
    for (size_t h = 0; h < c.kv_heads; ++h) {
      const OracleHead head(c, h);
      const ValueImportance importance(head.context);
      for (const double ratio : c.ratios) {
        INFO(c.name << " head " << h << " ratio " << ratio);
        const SparkStage stage({.ratio = 0.5, .value_ratio = ratio});
        const std::vector<Segment> segments = stage.Compress(head.context);
        const auto& store = std::get<SparseStore>(segments.at(0).values);
        CHECK(MaskMismatches(store, c, h, OracleName(c, ratio, "v_kept"), importance) == 0);
        CHECK(WorstRow(store, c, h, OracleName(c, ratio, "v_mean"), 1e-5f, 0) < 1);
      }
    }
  }
}

TEST_CASE("one token and one channel have no variance", "[spark]") {
  const std::vector<float> one_token = {1, -4, 2, 3};
  const ValueImportance importance(TinyHead(one_token, 1));
  CHECK(importance(0, 1) == Catch::Approx(0.7 * 4 + 0.3));  // all d are the largest
  const ValueImportance one_channel(TinyHead(one_token, 4));
  CHECK(one_channel(1, 0) == Catch::Approx(0.7 * 4 + 0.3));
  const std::vector<float> single = {2};
  CHECK(ValueImportance(TinyHead(single, 1))(0, 0) == Catch::Approx(1.4));
}

TEST_CASE("pruned values count as the token's mean, or as zero", "[spark]") {
  const std::vector<float> values = {1, -4, -2, 3};
  const HeadContext head = TinyHead(values, 1);
  std::vector<float> row(4);
  PackPrunedValues(head, 0, 1, 2, Recovery::kConstant).ReadRow(0, row.data());
  CHECK(row == std::vector<float>{-0.5f, -4, -0.5f, 3});
  PackPrunedValues(head, 0, 1, 2, Recovery::kZero).ReadRow(0, row.data());
  CHECK(row == std::vector<float>{0, -4, 0, 3});
}

TEST_CASE("values are pruned though keys are not, and sinks and recent ones stay whole",
          "[spark]") {
  const OracleCase& c = OracleCases().front();
  const OracleHead head(c, 0);
  const SparkStage stage({.ratio = 0, .keep = 5, .sinks = 4, .value_ratio = 0.5});
  const std::vector<Segment> segments = stage.Compress(head.context);
  REQUIRE(segments.size() == 3);
  CHECK(std::holds_alternative<DenseStore>(segments[0].values));
  CHECK(std::holds_alternative<DenseStore>(segments[1].keys));
  CHECK(std::get<SparseStore>(segments[1].values).n_kept() == c.head_dim / 2);
  CHECK(segments[1].size() == c.tokens - 9);
  std::vector<float> row(c.head_dim);
  ReadRow(segments[2].values, 0, row.data());
  CHECK(std::equal(row.begin(), row.end(), head.values.end() - 5 * static_cast<int>(c.head_dim)));
}

}  // namespace value_pruning_test
}  // namespace spark
