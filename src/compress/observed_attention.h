// Stages that score a token by the attention it got: H2O (arXiv 2306.14048), TOVA (2401.06104).
#ifndef SPARK_COMPRESS_OBSERVED_ATTENTION_H_
#define SPARK_COMPRESS_OBSERVED_ATTENTION_H_

#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

// The mean over all queries that could see the token, and over the group. H2O sums instead, which
// favours early tokens; kvpress' observed attention takes the mean.
class H2oStage : public TokenStage {
 public:
  using TokenStage::TokenStage;

  size_t window() const override { return kAllQueries; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;
};

// The last query's attention, mean over all query heads of the layer. The last token stays.
class TovaStage : public TokenStage {
 public:
  using TokenStage::TokenStage;

  size_t window() const override { return 1; }
  size_t always_kept() const override { return 1; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;
};

std::shared_ptr<const TokenStage> MakeH2oStage(const StageOptions& options);
std::shared_ptr<const TokenStage> MakeTovaStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_OBSERVED_ATTENTION_H_
