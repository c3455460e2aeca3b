// ThinK: structured channel pruning, the baseline (arXiv 2407.21018).
#ifndef SPARK_COMPRESS_THINK_H_
#define SPARK_COMPRESS_THINK_H_

#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

// The `n_kept` channels, ascending, with the largest (mean over window and group of q²) · (mean
// over tokens of k²); ties go to the lower channel.
std::vector<uint16_t> ThinkChannels(const HeadContext& head, size_t n_kept);

class ThinkStage : public ChannelStage {
 public:
  ThinkStage(double ratio, size_t window) : ratio_(ratio), window_(window) {}

  size_t window() const override { return window_; }
  std::vector<Segment> Compress(const HeadContext& head) const override;

 private:
  double ratio_;  // share of channels removed, [0, 1)
  size_t window_;
};

std::shared_ptr<const ChannelStage> MakeThinkStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_THINK_H_
