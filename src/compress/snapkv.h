// SnapKV (arXiv 2404.14469) and PyramidKV (arXiv 2406.02069): what the last queries attend to.
#ifndef SPARK_COMPRESS_SNAPKV_H_
#define SPARK_COMPRESS_SNAPKV_H_

#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

// The mean attention of the prompt's last `window` queries, smoothed over neighbours so that what
// stands around an important token stays with it.
class SnapKvStage : public TokenStage {
 public:
  // `kernel` is odd: neighbours that are averaged, the token itself included.
  SnapKvStage(const TokenBudget& budget, size_t window, size_t kernel)
      : TokenStage(budget), window_(window), kernel_(kernel) {}

  size_t window() const override { return window_; }
  size_t always_kept() const override { return window_; }
  std::vector<float> Scores(const LayerContext& layer, size_t head) const override;

 private:
  size_t window_;
  size_t kernel_;
};

// The same scores; low layers, whose attention is spread out, keep more tokens than high ones.
class PyramidKvStage : public SnapKvStage {
 public:
  // The last layer's share is 1/beta of the mean one.
  PyramidKvStage(const TokenBudget& budget, size_t window, size_t kernel, size_t beta)
      : SnapKvStage(budget, window, kernel), beta_(beta) {}

  size_t LayerBudget(size_t layer, size_t n_layers, size_t n_tokens) const override;

 private:
  size_t beta_;
};

std::shared_ptr<const TokenStage> MakeSnapKvStage(const StageOptions& options);
std::shared_ptr<const TokenStage> MakePyramidKvStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_SNAPKV_H_
