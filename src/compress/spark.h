// SparK: query-aware unstructured channel pruning with recovery (arXiv 2508.15212).
#ifndef SPARK_COMPRESS_SPARK_H_
#define SPARK_COMPRESS_SPARK_H_

#include <memory>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

enum class WeightNorm : uint8_t {
  kNorm,  // of the group's mean query over the window: the paper
  kRms,   // root of the mean square over window and group
};

struct SparkOptions {
  double ratio = 0.5;  // share of channels removed, [0, 1)
  size_t window = 32;
  Recovery recovery = Recovery::kMean;
  size_t keep = 0;   // last tokens left whole
  size_t sinks = 0;  // first tokens left whole
  WeightNorm weights = WeightNorm::kNorm;
};

// w[j]: how much the window's queries use channel j. Returns [head_dim], every entry >= 0.
std::vector<float> ChannelWeights(const HeadContext& head, WeightNorm norm);

// The `n_kept` channels with the largest contribution k[j]² w[j]; ties go to the lower channel.
// Sets their bits in mask [MaskBytes(head_dim)], clears the others, and returns
// s = sqrt(mean contribution of the pruned channels), 0 when there are none.
float SelectChannels(const float* key, const std::vector<float>& weights, size_t n_kept,
                     uint8_t* mask);

class SparkStage : public ChannelStage {
 public:
  explicit SparkStage(const SparkOptions& options) : options_(options) {}

  size_t window() const override { return options_.window; }
  size_t keep() const override { return options_.keep; }
  std::vector<Segment> Compress(const HeadContext& head) const override;

 private:
  Segment PackSparse(const HeadContext& head, size_t first, size_t count) const;

  SparkOptions options_;
};

std::shared_ptr<const ChannelStage> MakeSparkStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_SPARK_H_
