// Scores of continuations against plain formulas.
#include "eval/nll.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "spark/model.h"

namespace spark {
namespace nll_test {

std::vector<float> RandomLogits(size_t n, uint32_t seed, float scale = 6) {
  std::mt19937 random(seed);
  std::vector<float> logits(n);
  for (float& x : logits) x = scale * (static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f);
  return logits;
}

std::vector<double> Probabilities(const std::vector<float>& logits) {
  double sum = 0;
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(static_cast<double>(logits[i]));
  for (double& x : p) x /= sum;
  return p;
}

TEST_CASE("a row's score is that of the definition", "[nll]") {
  for (const size_t n : {2, 7, 64, 1001, 49152}) {
    const std::vector<float> logits = RandomLogits(n, 1);
    const std::vector<float> reference = RandomLogits(n, 2);
    const std::vector<double> p = Probabilities(logits);
    const std::vector<double> q = Probabilities(reference);
    double kl = 0;
    for (size_t i = 0; i < n; ++i) kl += q[i] * std::log(q[i] / p[i]);
    const auto id = static_cast<TokenId>(n / 2);
    const SegmentScore score = ScoreRow(logits, reference, id);
    CHECK(score.nll == Catch::Approx(-std::log(p[n / 2])).epsilon(1e-5));
    CHECK(score.kl == Catch::Approx(kl).epsilon(1e-4));
    CHECK(score.top1 ==
          (std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin()));
  }
}

TEST_CASE("equal logits have no divergence, large ones no overflow", "[nll]") {
  const std::vector<float> logits = RandomLogits(1000, 3, 2000);
  const SegmentScore same = ScoreRow(logits, logits, 4);
  CHECK(same.kl == 0);
  CHECK(same.top1 == 1);
  CHECK(std::isfinite(same.nll));
  // A small divergence is not lost in rounding: one logit of 49152 moved by 0.01.
  std::vector<float> reference = RandomLogits(49152, 4);
  std::vector<float> moved = reference;
  const auto top = std::ranges::max_element(moved) - moved.begin();
  moved[static_cast<size_t>(top)] += 1.0f;
  const double q = Probabilities(reference)[static_cast<size_t>(top)];
  const double expected = std::log1p(q * (std::exp(1.0) - 1)) - q;
  CHECK(ScoreRow(moved, reference, 0).kl == Catch::Approx(expected).epsilon(0.05).margin(1e-7));
}

TEST_CASE("a scorer scores all tokens but the first, however the rows come", "[nll]") {
  constexpr size_t kVocab = 50, kRows = 11;
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  const std::vector<float> full = RandomLogits(kRows * kVocab, 5);
  const std::vector<float> sparse = RandomLogits(kRows * kVocab, 6);
  ReferenceLogits reference(kRows - 1, kVocab);
  const LogitsSink keep = reference.Sink();
  SegmentScore expected;
  for (size_t i = 0; i < kRows; ++i) keep(1, std::span(full).subspan(i * kVocab, kVocab));
  for (size_t i = 0; i + 1 < kRows; ++i) {
    const SegmentScore row = ScoreRow(std::span(sparse).subspan(i * kVocab, kVocab),
                                      std::span(full).subspan(i * kVocab, kVocab), ids[i + 1]);
    expected.nll += row.nll / (kRows - 1);
    expected.kl += row.kl / (kRows - 1);
  }
  for (const size_t tile : {1, 4, 10, 11}) {
    SegmentScorer scorer(ids, reference, 2);
    const LogitsSink sink = scorer.Sink();
    for (size_t first = 0; first < kRows; first += tile) {
      const size_t n = std::min(tile, kRows - first);
      sink(n, std::span(sparse).subspan(first * kVocab, n * kVocab));
    }
    CHECK(scorer.score().nll == Catch::Approx(expected.nll));
    CHECK(scorer.score().kl == Catch::Approx(expected.kl));
  }
}

class FakeTokenizer : public Tokenizer {
 public:
  explicit FakeTokenizer(TokenId bos, bool add) : bos_(bos), add_(add) {}
  std::vector<TokenId> Encode(std::string_view, Special) const override { return {}; }
  std::string_view TokenBytes(TokenId) const override { return ""; }
  size_t vocab_size() const override { return 100; }
  bool IsControl(TokenId) const override { return false; }
  bool IsEndOfText(TokenId) const override { return false; }
  TokenId bos() const override { return bos_; }
  bool add_bos() const override { return add_; }

 private:
  TokenId bos_;
  bool add_;
};

TEST_CASE("segments follow each other; bos takes the last token's place", "[nll]") {
  std::vector<TokenId> text(100);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<TokenId>(i);
  using Ids = std::vector<TokenId>;
  const TextSegment plain = CutSegment(text, 2, 4, 3, FakeTokenizer(99, false));
  CHECK(plain.context == Ids{14, 15, 16, 17});
  CHECK(plain.continuation == Ids{18, 19, 20});
  const TextSegment bos = CutSegment(text, 2, 4, 3, FakeTokenizer(99, true));
  CHECK(bos.context == Ids{99, 14, 15, 16});
  CHECK(bos.continuation == Ids{17, 18, 19});
}

}  // namespace nll_test
}  // namespace spark
