// How far the logits behind a compressed context are from those behind an uncompressed one.
#ifndef SPARK_EVAL_NLL_H_
#define SPARK_EVAL_NLL_H_

#include <cstddef>
#include <span>
#include <vector>

#include "spark/session.h"
#include "spark/tokenizer.h"

namespace spark {

// Of a continuation, means over the tokens scored: all but the first, each by the logits of the
// token before it.
struct SegmentScore {
  double nll = 0;   // -log p(token), nats
  double kl = 0;    // KL(reference ‖ this), nats
  double top1 = 0;  // share of tokens for which both find the same token likeliest
};

// Collects the logits of a continuation: [n - 1, vocab_size] are kept.
class ReferenceLogits {
 public:
  ReferenceLogits(size_t n_rows, size_t vocab_size) : n_rows_(n_rows), vocab_size_(vocab_size) {}

  LogitsSink Sink();
  size_t n_rows() const { return n_rows_; }
  std::span<const float> Row(size_t i) const {
    return std::span(logits_).subspan(i * vocab_size_, vocab_size_);
  }

 private:
  size_t n_rows_;
  size_t vocab_size_;
  std::vector<float> logits_;
};

// Scores a continuation's logits as they come.
class SegmentScorer {
 public:
  // `ids`: the continuation, one more than the reference has rows. All must outlive this.
  SegmentScorer(std::span<const TokenId> ids, const ReferenceLogits& reference, int threads);

  LogitsSink Sink();
  SegmentScore score() const;  // once all logits have come

 private:
  std::span<const TokenId> ids_;
  const ReferenceLogits& reference_;
  int threads_;
  std::vector<SegmentScore> rows_;
};

// One token's: `logits` of the plan, `reference` of the uncompressed cache. Both [vocab_size].
SegmentScore ScoreRow(std::span<const float> logits, std::span<const float> reference, TokenId id);

// Segment `i` of a text: `context` tokens to compress, then `continuation` tokens. A model that
// asks for a beginning-of-text token gets it in front, and the segment's last token makes room.
struct TextSegment {
  std::vector<TokenId> context, continuation;
};
TextSegment CutSegment(std::span<const TokenId> text, size_t i, size_t context, size_t continuation,
                       const Tokenizer& tokenizer);

}  // namespace spark

#endif  // SPARK_EVAL_NLL_H_
