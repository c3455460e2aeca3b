// How many channels a token keeps, against the functions of SparK's authors (tests/data/spark).
#include "compress/channel_selection.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "base/ranking.h"
#include "compress/keep_largest.h"
#include "compress/spark.h"
#include "kv/channel_mask.h"
#include "tests/backend/kernel_test.h"
#include "tests/support/oracle.h"

namespace spark {
namespace channel_selection_test {

using testing::MaskMismatches;
using testing::OracleCase;
using testing::OracleCases;
using testing::OracleHead;
using testing::WorstRow;

SparseStore PackSparse(const HeadContext& head, BudgetRule rule, double mass) {
  const SparkStage stage({.rule = rule, .mass = mass});
  std::vector<Segment> segments = stage.Compress(head);
  REQUIRE(segments.size() == 1);
  return std::get<SparseStore>(std::move(segments[0].keys));
}

size_t Mismatches(const SparseStore& store, const OracleCase& c, size_t h, const OracleHead& head,
                  const std::string& name) {
  const std::vector<float> weights = ChannelWeights(head.context, WeightNorm::kNorm);
  return MaskMismatches(store, c, h, c.name + name, [&](size_t t, size_t j) {
    const float key = head.keys[t * c.head_dim + j];
    return key * key * weights[j];
  });
}

size_t Kept(const ChannelBudget& budget, const std::vector<float>& contributions) {
  std::vector<uint64_t> ranked;
  for (size_t j = 0; j < contributions.size(); ++j) ranked.push_back(RankKey(contributions[j], j));
  return budget.Kept(ranked);
}

// Few different values, so that many are equal; zeros; none but one kept, or all but one.
TEST_CASE("the choice in vectors is that of the sorted ranking", "[spark]") {
  ForEachSimdTarget([&](const std::string&) {
    Random random(31);
    for (const size_t dim : {1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 80, 128, 256, 1024}) {
      for (size_t round = 0; round < 40; ++round) {
        const uint32_t values = round % 4 == 0 ? 1 : round % 4 == 1 ? 5 : 1000000;
        std::vector<float> x(dim);
        for (float& v : x) v = static_cast<float>(random.Below(values)) * 1e-3f;
        const size_t n_kept = round == 1 ? dim : 1 + random.Below(static_cast<uint32_t>(dim));
        std::vector<uint64_t> ranked;
        for (size_t j = 0; j < dim; ++j) ranked.push_back(RankKey(x[j], j));
        std::vector<uint8_t> expected(MaskBytes(dim)), mask(MaskBytes(dim) + 1, 0xAA);
        KeepLargest(ranked, n_kept, expected.data());
        double rest = 0;
        for (size_t i = n_kept; i < dim; ++i) rest += RankedValue(ranked[i]);

        INFO("dim " << dim << " kept " << n_kept << " values " << values);
        const Misaligned in(x);
        const float sum = KeepLargestOf(in.data(), dim, n_kept, mask.data());
        CHECK(mask.back() == 0xAA);
        mask.pop_back();
        CHECK(mask == expected);
        CHECK(std::abs(sum - rest) <= 1e-5 * rest + 1e-6 * static_cast<double>(values));
      }
    }
  });
}

TEST_CASE("spark-group keeps and recovers what the authors' code does", "[oracle][spark]") {
  for (const OracleCase& c : OracleCases()) {
    for (size_t h = 0; h < c.kv_heads; ++h) {
      INFO(c.name << " head " << h);
      const OracleHead head(c, h);
      const SparseStore store = PackSparse(head.context, BudgetRule::kGroup, 0.99);
      CHECK(Mismatches(store, c, h, head, ".group.kept") == 0);
      CHECK(WorstRow(store, c, h, c.name + ".group.k_mean", 1e-5f, 1e-4f) < 1);
    }
  }
}

TEST_CASE("spark-topp keeps what the authors' code keeps", "[oracle][spark]") {
  for (const OracleCase& c : OracleCases()) {
    for (size_t h = 0; h < c.kv_heads; ++h) {
      INFO(c.name << " head " << h);
      const OracleHead head(c, h);
      const SparseStore store = PackSparse(head.context, BudgetRule::kTopP, 0.99);
      CHECK(Mismatches(store, c, h, head, ".topp99.kept") == 0);
    }
  }
}

TEST_CASE("top-p keeps the first channel beyond the share", "[spark]") {
  const std::vector<float> contributions = {1, 4, 2, 1};  // 4, 6, 7, 8 of 8
  const auto kept = [&](double mass) {
    return Kept({.rule = BudgetRule::kTopP, .mass = mass}, contributions);
  };
  CHECK(kept(1e-9) == 1);
  CHECK(kept(0.49) == 1);
  CHECK(kept(0.5) == 2);  // 4 of 8 is not more than a half
  CHECK(kept(0.75) == 3);
  CHECK(kept(0.9) == 4);
  CHECK(kept(1) == 4);
  CHECK(Kept({.rule = BudgetRule::kTopP, .mass = 0.5}, {0, 0, 0}) == 1);
}

TEST_CASE("groups keep from 10 to 90 % by where the mass is reached", "[spark]") {
  // The last of `n` equal contributions is the first beyond 99 %.
  const auto kept = [](size_t n, size_t dim) {
    std::vector<float> contributions(dim);
    std::fill_n(contributions.begin(), n, 1.0f);
    return Kept({.rule = BudgetRule::kGroup}, contributions);
  };
  const size_t expected[] = {2, 2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14, 18, 18, 18};
  for (size_t n = 1; n <= 20; ++n) CHECK(kept(n, 20) == expected[n - 1]);
  CHECK(kept(1, 8) == 0);
  CHECK(kept(2, 8) == 0);
  CHECK(kept(3, 8) == 2);
  CHECK(kept(8, 8) == 7);
  CHECK(kept(0, 8) == 0);
  CHECK(kept(1, 1) == 0);
}

TEST_CASE("a token that keeps no channel is its signs and one scalar", "[spark]") {
  const std::vector<float> keys = {3, 0, 0, 0, -0.01f, 0, 0, 0};
  const std::vector<float> queries(8, 1.0f);
  const HeadContext head{.keys = keys.data(),
                         .values = keys.data(),
                         .n_tokens = 1,
                         .head_dim = 8,
                         .queries = queries.data(),
                         .window = 1,
                         .group = 1,
                         .types = {DType::kF32, DType::kF32}};
  const SparseStore store = PackSparse(head, BudgetRule::kGroup, 0.99);
  CHECK(store.Kept(0) == 0);
  std::vector<float> row(8);
  store.ReadRow(0, row.data());
  const float s = std::sqrt((9 + 0.01f * 0.01f) / 8);
  for (size_t j = 0; j < 8; ++j) CHECK(std::abs(row[j] - (j == 0 ? s : -s)) < 1e-6f);
}

TEST_CASE("a share of 1 prunes nothing", "[spark]") {
  const OracleHead head(OracleCases().front(), 0);
  const SparkStage stage({.rule = BudgetRule::kTopP, .mass = 1});
  CHECK(std::holds_alternative<DenseStore>(stage.Compress(head.context).at(0).keys));
}

TEST_CASE("kept key values take the type that `store` says", "[spark]") {
  const OracleHead head(OracleCases().front(), 0);
  const SparkStage stage({.ratio = 0.5, .sinks = 1, .key_type = DType::kQ8_0});
  const std::vector<Segment> segments = stage.Compress(head.context);
  CHECK(std::get<DenseStore>(segments.at(0).keys).type() == DType::kF32);
  CHECK(std::get<SparseStore>(segments.at(1).keys).value_type() == DType::kQ8_0);
  CHECK(std::get<DenseStore>(segments.at(1).values).type() == DType::kF32);
}

}  // namespace channel_selection_test
}  // namespace spark
