// Sampled recovery: what is drawn, and which channel gets it.
#include "kv/sampled_fill.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <numbers>

#include "backend/backend.h"
#include "compress/spark.h"
#include "spark/error.h"
#include "tests/support/oracle.h"

namespace spark {
namespace sampled_fill_test {

using testing::OracleCases;
using testing::OracleHead;

struct Moments {
  double mean, std;
};

// Of 100,000 draws, a thousand a token.
Moments MomentsOf(Distribution distribution, float mean, float std) {
  std::vector<float> all;
  for (uint64_t token = 0; token < 100; ++token) {
    std::vector<float> samples(1000);
    DrawSamples({.seed = 1, .layer = 2, .head = 3, .token = token}, distribution, mean, std,
                samples);
    all.insert(all.end(), samples.begin(), samples.end());
  }
  double sum = 0;
  for (const float x : all) sum += x;
  const double n = static_cast<double>(all.size());
  double squares = 0;
  for (const float x : all) squares += (x - sum / n) * (x - sum / n);
  return {sum / n, std::sqrt(squares / (n - 1))};
}

// The mean of 1e5 draws has a standard error of std / 316, their deviation one of about
// std / 447 (normal) or std / 224 (exponential): five of those is a per cent or two of std.
TEST_CASE("samples have the moments of their distributions", "[sampled]") {
  for (const auto& [mean, std] : {std::pair{0.0, 1.0}, {1.0, 0.5}, {0.3, 2.0}, {50.0, 1.0}}) {
    INFO("mean " << mean << " std " << std);
    const Moments folded =
        MomentsOf(Distribution::kNormal, static_cast<float>(mean), static_cast<float>(std));
    const double expected =  // of |N(mean, std)|
        std * std::sqrt(2 / std::numbers::pi) * std::exp(-mean * mean / (2 * std * std)) +
        mean * std::erf(mean / std / std::numbers::sqrt2);
    const double deviation = std::sqrt(mean * mean + std * std - expected * expected);
    CHECK(folded.mean == Catch::Approx(expected).margin(0.016 * deviation));
    CHECK(folded.std == Catch::Approx(deviation).epsilon(0.02));
  }
  for (const double mean : {1e-6, 0.5, 30.0}) {
    const Moments drawn = MomentsOf(Distribution::kExponential, static_cast<float>(mean), 0);
    CHECK(drawn.mean == Catch::Approx(mean).epsilon(0.016));
    CHECK(drawn.std == Catch::Approx(mean).epsilon(0.023));
  }
}

TEST_CASE("streams differ by every part of their key, and only by it", "[sampled]") {
  const auto draw = [](const SampleKey& key) {
    std::vector<float> samples(9);
    DrawSamples(key, Distribution::kExponential, 1, 0, samples);
    return samples;
  };
  const SampleKey key{.seed = 1, .layer = 2, .head = 3, .token = 4};
  CHECK(draw(key) == draw(key));
  const SampleKey others[] = {{2, 2, 3, 4}, {1, 3, 3, 4}, {1, 2, 4, 4}, {1, 2, 3, 5}, {1, 3, 2, 4}};
  for (const SampleKey& other : others) CHECK(draw(key) != draw(other));
}

SparseStore Pack(const HeadContext& head, const SampleOptions& samples, double ratio = 0.75) {
  const SparkStage stage({.ratio = ratio, .recovery = Recovery::kSampled, .samples = samples});
  std::vector<Segment> segments = stage.Compress(head);
  return std::get<SparseStore>(std::move(segments.at(0).keys));
}

std::vector<float> Rows(const SparseStore& store) {
  std::vector<float> rows(store.size() * store.head_dim());
  for (size_t t = 0; t < store.size(); ++t) store.ReadRow(t, rows.data() + t * store.head_dim());
  return rows;
}

TEST_CASE("pruned channels get the samples of their rank, clipped", "[sampled]") {
  const OracleHead head(OracleCases().front(), 0);
  const size_t dim = head.context.head_dim;
  const std::vector<float> weights = ChannelWeights(head.context, WeightNorm::kNorm);
  size_t clipped = 0;
  for (const Distribution distribution : {Distribution::kNormal, Distribution::kExponential}) {
    for (const Clip clip : {Clip::kMean, Clip::kThreshold}) {
      const SparseStore store = Pack(head.context, {distribution, clip, 7});
      std::vector<float> row(dim);
      for (size_t t = 0; t < head.context.n_tokens; ++t) {
        store.ReadRow(t, row.data());
        const float* key = head.keys.data() + t * dim;
        std::vector<float> c(dim);
        double sum = 0, squares = 0, pruned = 0;
        float threshold = INFINITY;
        for (size_t j = 0; j < dim; ++j) {
          c[j] = key[j] * key[j] * weights[j];
          sum += c[j];
          if (MaskBit(store.Mask(t), j)) threshold = std::min(threshold, c[j]);
          if (!MaskBit(store.Mask(t), j)) pruned += c[j];
        }
        const double n = static_cast<double>(dim);
        const double mean = sum / n;
        for (const float x : c) squares += (x - mean) * (x - mean);
        std::vector<float> samples(dim);
        DrawSamples({.seed = 7, .layer = 0, .head = 0, .token = t}, distribution,
                    static_cast<float>(mean), static_cast<float>(std::sqrt(squares / (n - 1))),
                    samples);
        std::sort(samples.rbegin(), samples.rend());
        for (size_t j = 0; j < dim; ++j) {
          if (MaskBit(store.Mask(t), j)) {
            CHECK(row[j] == key[j]);
            continue;
          }
          const auto rank = std::ranges::count_if(c, [&](float x) { return x > c[j]; });
          double sample = samples[static_cast<size_t>(rank)];
          if (sample > threshold) {
            ++clipped;
            sample = clip == Clip::kThreshold ? threshold
                                              : pruned / static_cast<double>(dim - store.Kept(t));
          }
          const double want = std::copysign(std::sqrt(sample / weights[j]), key[j]);
          CHECK(row[j] == Catch::Approx(want).epsilon(1e-4));
        }
      }
    }
  }
  CHECK(clipped > 0);
}

TEST_CASE("the same seed gives the same bytes, another gives others", "[sampled]") {
  const OracleHead head(OracleCases().front(), 0);
  const std::vector<float> rows = Rows(Pack(head.context, {.seed = 5}));
  CHECK(rows == Rows(Pack(head.context, {.seed = 5})));
  CHECK(rows != Rows(Pack(head.context, {.seed = 6})));
  CHECK(rows != Rows(Pack(head.context, {Distribution::kExponential, Clip::kMean, 5})));
  HeadContext other = head.context;
  other.layer = 1;
  CHECK(rows != Rows(Pack(other, {.seed = 5})));
}

TEST_CASE("selected tokens keep their samples", "[sampled]") {
  const OracleHead head(OracleCases().front(), 0);
  const size_t dim = head.context.head_dim;
  for (const BudgetRule rule : {BudgetRule::kRatio, BudgetRule::kTopP}) {
    const SparkStage stage({.recovery = Recovery::kSampled, .sinks = 2, .rule = rule, .mass = 0.9});
    const std::vector<Segment> segments = stage.Compress(head.context);
    const auto& store = std::get<SparseStore>(segments.at(1).keys);
    const std::vector<float> rows = Rows(store);
    const std::vector<uint32_t> tokens = {1, 5, 6, 20};
    const SparseStore some = store.Select(tokens);
    const std::vector<uint32_t> last = {3};
    const SparseStore one = some.Select(last);
    const std::vector<float> selected = Rows(some);
    for (size_t i = 0; i < tokens.size(); ++i) {
      CHECK(std::equal(&rows[tokens[i] * dim], &rows[tokens[i] * dim] + dim, &selected[i * dim]));
    }
    CHECK(Rows(one) == std::vector<float>(&rows[20 * dim], &rows[20 * dim] + dim));
  }
}

TEST_CASE("what samples need is stored and counted", "[sampled]") {
  const OracleHead head(OracleCases().front(), 0);
  const size_t n = head.context.n_tokens;
  const size_t dim = head.context.head_dim;
  const SparkStage stage({.ratio = 0.75, .recovery = Recovery::kSampled});
  LayerCache layer(1, dim, {DType::kF16, DType::kF16});
  HeadContext context = head.context;
  context.types = layer.types();
  for (Segment& segment : stage.Compress(context)) {
    layer.heads()[0].context.push_back(std::make_shared<const Segment>(std::move(segment)));
  }
  KvBytes bytes;
  layer.AddBytes(bytes);
  CHECK(bytes.key_values == n * dim / 4 * 2 + kReadSlack);
  CHECK(bytes.key_masks == n * (dim / 8 + dim * 3 / 4) + 2 * kReadSlack);  // mask, ranks
  CHECK(bytes.key_signs == n * dim / 8 + kReadSlack);
  CHECK(bytes.key_scalars == n * (4 + 20) + dim * 4 + 3 * kReadSlack);
}

TEST_CASE("the reference backend scores sampled keys as they read", "[sampled]") {
  const OracleHead head(OracleCases().front(), 0);
  const size_t dim = head.context.head_dim;
  const KeyStore store = Pack(head.context, {.distribution = Distribution::kExponential});
  const std::vector<float> rows = Rows(std::get<SparseStore>(store));
  std::vector<float> scores(head.context.n_tokens);
  MakeReferenceBackend()->Scores(head.probes.data(), 1, store, scores.data());
  for (size_t t = 0; t < scores.size(); ++t) {
    double want = 0;
    for (size_t j = 0; j < dim; ++j) want += head.probes[j] * rows[t * dim + j];
    CHECK(scores[t] == Catch::Approx(want).epsilon(1e-4).margin(1e-4));
  }
}

TEST_CASE("tokens that keep nothing have no threshold, a channel without weight stays zero",
          "[sampled]") {
  const std::vector<float> keys = {3, 0, 0, 0, -0.01f, 0, 0, 0};
  std::vector<float> queries(8, 1.0f);
  queries[7] = 0;
  const HeadContext head{.keys = keys.data(),
                         .values = keys.data(),
                         .n_tokens = 1,
                         .head_dim = 8,
                         .queries = queries.data(),
                         .window = 1,
                         .group = 1,
                         .types = {DType::kF32, DType::kF32}};
  const SparkStage stage({.recovery = Recovery::kSampled, .rule = BudgetRule::kGroup});
  const std::vector<Segment> segments = stage.Compress(head);
  CHECK(std::get<SparseStore>(segments.at(0).keys).Kept(0) == 0);
  std::vector<float> row(8);
  ReadRow(segments.at(0).keys, 0, row.data());
  for (size_t j = 0; j < 7; ++j) CHECK((std::isfinite(row[j]) && row[j] != 0));
  CHECK(row[7] == 0);
}

TEST_CASE("heads whose ranks don't fit in a byte are refused", "[sampled]") {
  for (const size_t dim : {256, 257}) {
    const std::vector<float> rows(dim, 1.0f);
    const HeadContext head{.keys = rows.data(),
                           .values = rows.data(),
                           .n_tokens = 1,
                           .head_dim = dim,
                           .queries = rows.data(),
                           .window = 1,
                           .group = 1,
                           .types = {DType::kF32, DType::kF32}};
    if (dim > SampledFill::kMaxHeadDim) {
      CHECK_THROWS_AS(Pack(head, {}), Error);
    } else {
      CHECK(Pack(head, {}).Kept(0) == 64);
    }
  }
}

}  // namespace sampled_fill_test
}  // namespace spark
