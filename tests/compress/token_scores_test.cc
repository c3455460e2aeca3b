// Scores of token stages against loops that follow the formulas word by word.
#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "compress/stage.h"
#include "spark/compression.h"
#include "tests/support/test_layer.h"

namespace spark {
namespace token_scores_test {

using testing::kDim;
using testing::kGroup;
using testing::TestLayer;

void CheckClose(const std::vector<float>& scores, const std::vector<double>& expected) {
  REQUIRE(scores.size() == expected.size());
  for (size_t t = 0; t < scores.size(); ++t) {
    if (std::isinf(expected[t])) {
      CHECK(scores[t] == kAlwaysKept);
    } else {
      CHECK(scores[t] == Catch::Approx(expected[t]).epsilon(1e-4).margin(1e-9));
    }
  }
}

std::vector<double> Softmax(std::vector<double> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double& x : logits) sum += x = std::exp(x - largest);
  for (double& x : logits) x /= sum;
  return logits;
}

// Attention of query i of group member g over tokens [0, n).
std::vector<double> Attention(const HeadContext& head, size_t i, size_t g, size_t n) {
  std::vector<double> logits(n);
  for (size_t t = 0; t < n; ++t) {
    double dot = 0;
    for (size_t j = 0; j < kDim; ++j) {
      dot += static_cast<double>(head.queries[(i * kGroup + g) * kDim + j]) *
             static_cast<double>(head.keys[t * kDim + j]);
    }
    logits[t] = dot / std::sqrt(static_cast<double>(kDim));
  }
  return Softmax(logits);
}

TEST_CASE("h2o is the mean attention of the queries that see a token", "[tokens]") {
  for (const size_t window : {150, 70, 1}) {  // all queries, and those of an interval
    const TestLayer layer({150}, window);
    const HeadContext& head = layer.context.heads[0];
    std::vector<double> expected(head.n_tokens);
    std::vector<double> count(head.n_tokens);
    for (size_t i = 0; i < window; ++i) {
      const size_t seen = head.n_tokens - window + i + 1;
      for (size_t t = 0; t < seen; ++t) ++count[t];
      for (size_t g = 0; g < kGroup; ++g) {
        const std::vector<double> weights = Attention(head, i, g, seen);
        for (size_t t = 0; t < seen; ++t) expected[t] += weights[t] / kGroup;
      }
    }
    for (size_t t = 0; t < expected.size(); ++t) expected[t] /= count[t];
    CheckClose(CompressionPlan::Parse("h2o:0.5").token_stage()->Scores(layer.context, 0), expected);
  }
}

TEST_CASE("snapkv is the pooled mean attention of the window", "[tokens]") {
  const TestLayer layer({50}, 10);
  const HeadContext& head = layer.context.heads[0];
  std::vector<double> mean(40);
  for (size_t i = 0; i < 10; ++i) {
    for (size_t g = 0; g < kGroup; ++g) {
      const std::vector<double> weights = Attention(head, i, g, 41 + i);
      for (size_t t = 0; t < 40; ++t) mean[t] += weights[t] / (10 * kGroup);
    }
  }
  std::vector<double> expected(50, INFINITY);
  for (size_t t = 0; t < 40; ++t) {
    expected[t] = mean[t] + (t > 0 ? mean[t - 1] : 0) + (t < 39 ? mean[t + 1] : 0);
    expected[t] /= 3;
  }
  const CompressionPlan plan = CompressionPlan::Parse("snapkv:0.5[window=10,kernel=3]");
  CheckClose(plan.token_stage()->Scores(layer.context, 0), expected);
}

TEST_CASE("tova is the last query's attention, mean over all heads", "[tokens]") {
  const TestLayer layer({40, 40}, 1);
  std::vector<double> expected(40);
  for (const HeadContext& head : layer.context.heads) {
    for (size_t g = 0; g < kGroup; ++g) {
      const std::vector<double> weights = Attention(head, 0, g, 40);
      for (size_t t = 0; t < 40; ++t) expected[t] += weights[t];
    }
  }
  const std::vector<float> scores =
      CompressionPlan::Parse("tova:0.5").token_stage()->Scores(layer.context, 1);
  // The scale is nobody's business: only the order counts.
  const double scale = static_cast<double>(scores[0]) / expected[0];
  for (double& x : expected) x *= scale;
  expected.back() = INFINITY;
  CheckClose(scores, expected);
}

using Square = std::vector<std::vector<double>>;

// The rotation of a position as a matrix.
Square Rotation(const RopeConfig& rope, double position) {
  Square r(kDim, std::vector<double>(kDim, 0.0));
  for (size_t i = 0; i < kDim / 2; ++i) {
    const bool interleaved = rope.style == RopeStyle::kInterleaved;
    const size_t a = interleaved ? 2 * i : i;
    const size_t b = interleaved ? 2 * i + 1 : i + kDim / 2;
    const double angle =
        position * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(kDim));
    r[a][a] = r[b][b] = std::cos(angle);
    r[b][a] = std::sin(angle);
    r[a][b] = -r[b][a];
  }
  return r;
}

// Expected attention as in its paper, in loops. `sinks` tokens stay.
std::vector<double> NaiveExpected(const TestLayer& layer, size_t sinks, size_t future) {
  const HeadContext& head = layer.context.heads[0];
  const size_t n = head.n_tokens;
  Square mean_rotation(kDim, std::vector<double>(kDim, 0.0));
  for (size_t f = 0; f < future; ++f) {
    const Square r = Rotation(layer.rope, static_cast<double>(n + f));
    for (size_t i = 0; i < kDim; ++i) {
      for (size_t j = 0; j < kDim; ++j)
        mean_rotation[i][j] += r[i][j] / static_cast<double>(future);
    }
  }
  std::vector<double> expected(n, INFINITY);
  std::fill(expected.begin() + static_cast<std::ptrdiff_t>(sinks), expected.end(), 0.0);
  for (size_t g = 0; g < kGroup; ++g) {
    // Every query as if it were at each future position on average: R̄ Rᵀ(p) q.
    Square queries;
    for (size_t p = sinks; p < n; ++p) {
      const Square undo = Rotation(layer.rope, -static_cast<double>(p));
      std::vector<double> plain(kDim, 0.0);
      std::vector<double> turned(kDim, 0.0);
      const float* q = head.queries + (p * kGroup + g) * kDim;
      for (size_t i = 0; i < kDim; ++i) {
        for (size_t j = 0; j < kDim; ++j) plain[i] += undo[i][j] * static_cast<double>(q[j]);
      }
      for (size_t i = 0; i < kDim; ++i) {
        for (size_t j = 0; j < kDim; ++j) turned[i] += mean_rotation[i][j] * plain[j];
      }
      queries.push_back(turned);
    }
    // k·Σk is the variance of k·q, so no matrix is needed.
    std::vector<double> logits;
    for (size_t t = sinks; t < n; ++t) {
      double sum = 0;
      double squares = 0;
      for (const std::vector<double>& q : queries) {
        double dot = 0;
        for (size_t j = 0; j < kDim; ++j)
          dot += q[j] * static_cast<double>(head.keys[t * kDim + j]);
        sum += dot;
        squares += dot * dot;
      }
      const double mean = sum / static_cast<double>(queries.size());
      const double variance = squares / static_cast<double>(queries.size()) - mean * mean;
      logits.push_back(mean / std::sqrt(static_cast<double>(kDim)) + variance / (2 * kDim));
    }
    const std::vector<double> weights = Softmax(logits);
    for (size_t t = sinks; t < n; ++t) expected[t] += weights[t - sinks] / kGroup;
  }
  for (size_t t = sinks; t < n; ++t) {
    double square = 0;
    for (size_t j = 0; j < kDim; ++j) square += std::pow(head.values[t * kDim + j], 2);
    expected[t] *= std::sqrt(square);
  }
  return expected;
}

TEST_CASE("expected attention follows its formula for both ways to pair", "[tokens]") {
  for (const RopeStyle style : {RopeStyle::kHalfSplit, RopeStyle::kInterleaved}) {
    for (const auto& [sinks, future] : {std::pair<size_t, size_t>{4, 512}, {0, 1}, {7, 30}}) {
      const TestLayer layer({120}, 120, style);
      const CompressionPlan plan =
          CompressionPlan::Parse("expected:0.5[future=" + std::to_string(future) +
                                 ",sinks=" + std::to_string(sinks) + "]");
      INFO(plan.text());
      CheckClose(plan.token_stage()->Scores(layer.context, 0), NaiveExpected(layer, sinks, future));
    }
  }
}

}  // namespace token_scores_test
}  // namespace spark
