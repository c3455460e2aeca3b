// Token stages that need no queries: StreamingLLM (arXiv 2309.17453), key norms (arXiv 2406.11430),
// and chance, the baseline of baselines.
#ifndef SPARK_COMPRESS_QUERY_FREE_H_
#define SPARK_COMPRESS_QUERY_FREE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

// The first tokens, where attention that has nowhere to go ends up, and the most recent ones.
class StreamingStage : public TokenStage {
 public:
  StreamingStage(const TokenBudget& budget, size_t sinks) : TokenStage(budget), sinks_(sinks) {}

  size_t window() const override { return 0; }
  size_t always_kept() const override { return sinks_; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;

 private:
  size_t sinks_;
};

// Tokens whose keys are short get more attention than others.
class KeyNormStage : public TokenStage {
 public:
  using TokenStage::TokenStage;

  size_t window() const override { return 0; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;
};

// The same tokens on every machine: a hash of seed, layer, head and position.
class RandomStage : public TokenStage {
 public:
  RandomStage(const TokenBudget& budget, uint64_t seed) : TokenStage(budget), seed_(seed) {}

  size_t window() const override { return 0; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;

 private:
  uint64_t seed_;
};

std::shared_ptr<const TokenStage> MakeStreamingStage(const StageOptions& options);
std::shared_ptr<const TokenStage> MakeKeyNormStage(const StageOptions& options);
std::shared_ptr<const TokenStage> MakeRandomStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_QUERY_FREE_H_
