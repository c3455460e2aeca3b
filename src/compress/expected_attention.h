// Expected attention (arXiv 2510.00636): the attention that future queries will pay, were they
// drawn from a normal distribution with the mean and covariance of the context's.
#ifndef SPARK_COMPRESS_EXPECTED_ATTENTION_H_
#define SPARK_COMPRESS_EXPECTED_ATTENTION_H_

#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

class ExpectedAttentionStage : public TokenStage {
 public:
  // `future`: positions behind the context that queries are expected at. `sinks`: the context's
  // first tokens; they stay, and their queries, which are outliers, do not count.
  ExpectedAttentionStage(const TokenBudget& budget, size_t future, size_t sinks)
      : TokenStage(budget), future_(future), sinks_(sinks) {}

  size_t window() const override { return kAllQueries; }
  size_t always_kept() const override { return sinks_; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;

 private:
  size_t future_;
  size_t sinks_;
};

std::shared_ptr<const TokenStage> MakeExpectedAttentionStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_EXPECTED_ATTENTION_H_
