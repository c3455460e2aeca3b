#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "spark/error.h"
#include "spark/sampling.h"

namespace spark {
namespace sampler_test {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Options that draw from everything unless a test says otherwise.
SamplingOptions Plain(float temperature) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1, .min_p = 0};
}

// How often each token is drawn.
std::map<TokenId, int> Draw(const SamplingOptions& options, std::span<const float> logits, int n) {
  Sampler sampler(options);
  std::map<TokenId, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.Sample(logits)];
  return counts;
}

TEST_CASE("temperature 0 takes the largest logit, the lower id of equal ones", "[sampler]") {
  Sampler sampler(Plain(0));
  CHECK(sampler.Sample(std::vector<float>{1, 5, 2, 5}) == 1);
  CHECK(sampler.Sample(std::vector<float>{kNan, -kInf, -7, kInf}) == 2);
  CHECK(sampler.Sample(std::vector<float>{-3}) == 0);
}

TEST_CASE("logits without a finite number are an error", "[sampler]") {
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler(Plain(temperature));
    CHECK_THROWS_AS(sampler.Sample(std::vector<float>{kNan, -kInf, kInf}), Error);
    CHECK_THROWS_AS(sampler.Sample(std::vector<float>{}), Error);
  }
}

TEST_CASE("draws follow the softmax of logits over temperature", "[sampler]") {
  const std::vector<float> logits = {0, 1, -kInf, 2, kNan, -1};
  for (const double temperature : {0.5, 1.0, 3.0}) {
    constexpr int kDraws = 20000;
    const auto counts = Draw(Plain(static_cast<float>(temperature)), logits, kDraws);
    double total = 0;
    for (const float logit : logits) {
      if (std::isfinite(logit)) total += std::exp(logit / temperature);
    }
    double chi_square = 0;
    for (const TokenId id : {0, 1, 3, 5}) {
      const double expected =
          kDraws * std::exp(logits[static_cast<size_t>(id)] / temperature) / total;
      const double found = counts.contains(id) ? counts.at(id) : 0;
      chi_square += (found - expected) * (found - expected) / expected;
    }
    CHECK(chi_square < 16.3);  // 3 degrees of freedom, 1 in 1000; the seed is fixed
    CHECK_FALSE(counts.contains(2));
    CHECK_FALSE(counts.contains(4));
  }
}

TEST_CASE("top-k, top-p and min-p leave the likeliest tokens", "[sampler]") {
  // Probabilities 0.4, 0.3, 0.2, 0.1.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const auto drawn = [&](SamplingOptions options) {
    std::vector<TokenId> ids;
    for (const auto& [id, count] : Draw(options, logits, 2000)) ids.push_back(id);
    return ids;
  };
  SamplingOptions options = Plain(1);
  options.top_k = 2;
  CHECK(drawn(options) == std::vector<TokenId>{1, 3});
  options = Plain(1);
  options.top_p = 0.6f;
  CHECK(drawn(options) == std::vector<TokenId>{1, 3});
  options.top_p = 0.75f;
  CHECK(drawn(options) == std::vector<TokenId>{1, 2, 3});
  options.top_p = 0;
  CHECK(drawn(options) == std::vector<TokenId>{1});
  options = Plain(1);
  options.min_p = 0.45f;
  CHECK(drawn(options) == std::vector<TokenId>{1, 2, 3});
  options.min_p = 1;
  CHECK(drawn(options) == std::vector<TokenId>{1});
  options = Plain(1);  // top-p counts within what top-k left: 0.4 and 0.3 of 0.7
  options.top_k = 2;
  options.top_p = 0.56f;
  CHECK(drawn(options) == std::vector<TokenId>{1});
}

TEST_CASE("the nucleus of a flat distribution over a large vocabulary is exact", "[sampler]") {
  // 100,000 equal tokens: the lower ids are preferred, and half of them hold half of the mass.
  const std::vector<float> logits(100000, 0.25f);
  SamplingOptions options = Plain(1);
  options.top_p = 0.5f;
  Sampler sampler(options);
  TokenId largest = 0;
  for (int i = 0; i < 50; ++i) largest = std::max(largest, sampler.Sample(logits));
  CHECK(largest < 50000);
  CHECK(largest > 40000);
}

TEST_CASE("equal logits at the edge of top-k: lower ids stay", "[sampler]") {
  const std::vector<float> logits(1000, 1.0f);
  SamplingOptions options = Plain(1);
  options.top_k = 3;
  for (const auto& [id, count] : Draw(options, logits, 300)) CHECK(id < 3);
}

TEST_CASE("very low temperatures draw like temperature 0", "[sampler]") {
  const auto counts = Draw(Plain(1e-38f), std::vector<float>{1, 2, 3, 2}, 100);
  CHECK(counts == std::map<TokenId, int>{{2, 100}});
}

TEST_CASE("the repeat penalty lowers what was accepted lately", "[sampler]") {
  SamplingOptions options = Plain(0);
  options.repeat_penalty = 2;
  options.repeat_last_n = 2;
  Sampler sampler(options);
  const std::vector<float> logits = {4, 3, 1, -1};
  CHECK(sampler.Sample(logits) == 0);
  sampler.Accept(0);
  CHECK(sampler.Sample(logits) == 1);  // 4 / 2 < 3
  sampler.Accept(0);                   // a second time in the window changes nothing
  CHECK(sampler.Sample(logits) == 1);
  sampler.Accept(std::vector<TokenId>{9999, -1, 2, 1});  // 0 has left the window
  CHECK(sampler.Sample(logits) == 0);

  const std::vector<float> negative = {-2, -3};
  Sampler other(options);
  other.Accept(0);
  CHECK(other.Sample(negative) == 1);  // -2 * 2 < -3
}

TEST_CASE("the same seed and logits give the same tokens", "[sampler]") {
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i) * 1.7f);
  const auto run = [&](uint64_t seed) {
    SamplingOptions options = Plain(1.5f);
    options.seed = seed;
    Sampler sampler(options);
    std::vector<TokenId> ids;
    for (int i = 0; i < 32; ++i) ids.push_back(sampler.Sample(logits));
    return ids;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

}  // namespace sampler_test
}  // namespace spark
