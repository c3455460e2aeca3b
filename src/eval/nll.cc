#include "eval/nll.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace spark {
namespace {

using Row = Eigen::Map<const Eigen::ArrayXf>;

Row AsArray(std::span<const float> row) {
  return {row.data(), static_cast<Eigen::Index>(row.size())};
}

// log Σ exp. Sums in double: 200,000 floats would lose more than a small KL has.
double LogSumExp(const Row& row, float largest) {
  return static_cast<double>(largest) + std::log((row - largest).exp().cast<double>().sum());
}

}  // namespace

LogitsSink ReferenceLogits::Sink() {
  logits_.clear();
  logits_.reserve(n_rows_ * vocab_size_);
  return [this](size_t, std::span<const float> rows) {
    const size_t room = n_rows_ * vocab_size_ - logits_.size();
    const std::span<const float> kept = rows.first(std::min(room, rows.size()));
    logits_.insert(logits_.end(), kept.begin(), kept.end());
  };
}

SegmentScore ScoreRow(std::span<const float> logits, std::span<const float> reference, TokenId id) {
  const Row p = AsArray(logits);
  const Row q = AsArray(reference);
  Eigen::Index p_at = 0, q_at = 0;
  const float p_largest = p.maxCoeff(&p_at);
  const float q_largest = q.maxCoeff(&q_at);
  const double p_sum = LogSumExp(p, p_largest);
  const double q_sum = LogSumExp(q, q_largest);
  // Σ q (log q - log p) = Σ q (q logit - p logit) - log Z_q + log Z_p
  const float shift = static_cast<float>(q_sum);
  const auto weight = (q - shift).exp().cast<double>();
  const double mass = weight.sum();  // 1 but for rounding
  const double gap = (weight * (q - p).cast<double>()).sum() / mass;
  return {.nll = p_sum - static_cast<double>(logits[static_cast<size_t>(id)]),
          .kl = std::max(0.0, gap - q_sum + p_sum),
          .top1 = p_at == q_at ? 1.0 : 0.0};
}

SegmentScorer::SegmentScorer(std::span<const TokenId> ids, const ReferenceLogits& reference,
                             int threads)
    : ids_(ids), reference_(reference), threads_(threads) {}

LogitsSink SegmentScorer::Sink() {
  return [this](size_t n, std::span<const float> logits) {
    const size_t vocab = logits.size() / n;
    const size_t first = rows_.size();
    const size_t count = std::min(n, reference_.n_rows() - first);  // nothing follows the last
    rows_.resize(first + count);
#pragma omp parallel for num_threads(threads_)
    for (size_t i = 0; i < count; ++i) {
      rows_[first + i] = ScoreRow(logits.subspan(i * vocab, vocab), reference_.Row(first + i),
                                  ids_[first + i + 1]);
    }
  };
}

SegmentScore SegmentScorer::score() const {
  SegmentScore sum;
  for (const SegmentScore& row : rows_) {
    sum.nll += row.nll;
    sum.kl += row.kl;
    sum.top1 += row.top1;
  }
  const auto n = static_cast<double>(std::max<size_t>(1, rows_.size()));
  return {sum.nll / n, sum.kl / n, sum.top1 / n};
}

TextSegment CutSegment(std::span<const TokenId> text, size_t i, size_t context, size_t continuation,
                       const Tokenizer& tokenizer) {
  const size_t length = context + continuation;
  const std::span<const TokenId> whole = text.subspan(i * length, length);
  std::vector<TokenId> ids;
  ids.reserve(length + 1);
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) ids.push_back(tokenizer.bos());
  ids.insert(ids.end(), whole.begin(), whole.end());
  ids.resize(length);
  const auto cut = ids.begin() + static_cast<std::ptrdiff_t>(context);
  return {{ids.begin(), cut}, {cut, ids.end()}};
}

}  // namespace spark
