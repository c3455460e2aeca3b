// SparK: query-aware unstructured channel pruning with recovery (arXiv 2508.15212).
#ifndef SPARK_COMPRESS_SPARK_H_
#define SPARK_COMPRESS_SPARK_H_

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compress/channel_selection.h"
#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

enum class WeightNorm : uint8_t {
  kNorm,  // of the group's mean query over the window: the paper
  kRms,   // root of the mean square over window and group
};

// How pruned keys lie in memory.
enum class KeyLayout : uint8_t {
  kAuto,   // in lanes where that takes few bytes more: see LayInLanes()
  kMask,   // SparseStore: the fewest bytes
  kLanes,  // LaneStore, the fastest to decode from, wherever keys can lie in it
};

struct SparkOptions {
  double ratio = 0.5;  // share of channels removed, [0, 1); rule kRatio
  size_t window = 32;
  Recovery recovery = Recovery::kMean;
  size_t keep = 0;   // last tokens left whole
  size_t sinks = 0;  // first tokens left whole
  WeightNorm weights = WeightNorm::kNorm;
  bool centre = false;  // tokens are stored as differences from their mean key
  BudgetRule rule = BudgetRule::kRatio;
  double mass = 0.99;                         // the other rules': ChannelBudget
  double value_ratio = 0;                     // share of value channels removed, [0, 1)
  Recovery value_fill = Recovery::kConstant;  // or kZero
  SampleOptions samples{};                    // recovery kSampled
  std::optional<DType> key_type{};            // of kept key values; nothing: the cache's
  KeyLayout layout = KeyLayout::kAuto;
};

// w[j]: how much the window's queries use channel j. Returns [head_dim], every entry >= 0.
std::vector<float> ChannelWeights(const HeadContext& head, WeightNorm norm);

// A token's channels by contribution k[j]² w[j], in channel order. ranked: [head_dim] RankKey()s.
void RankChannels(const float* key, const std::vector<float>& weights, std::span<uint64_t> ranked);

// The channels that stay by a budget: those with the largest contributions, ties go to the lower
// channel. Sets their bits in mask [MaskBytes(head_dim)], clears the others, and returns
// s = sqrt(mean contribution of the pruned channels), 0 when there are none. Reorders `ranked`.
float SelectChannels(std::span<uint64_t> ranked, const ChannelBudget& budget, uint8_t* mask);

// `spark:R`, `spark-group` and `spark-topp:P`, which differ in how many channels a token keeps.
class SparkStage : public ChannelStage {
 public:
  explicit SparkStage(const SparkOptions& options) : options_(options) {}

  size_t window() const override { return options_.window; }
  size_t keep() const override { return options_.keep; }
  // With recovery `mean`, the same number of channels for every token, masks and no centre.
  std::optional<KeyPruning> OnDevice(const HeadContext& head) const override;
  std::vector<Segment> Compress(const HeadContext& head) const override;

 private:
  // Tokens of a head: sinks, then pruned ones, then those left whole at the end.
  struct Parts {
    size_t sinks, pruned, keep;
  };
  Parts Divide(const HeadContext& head) const;
  ChannelBudget budget() const { return {options_.rule, options_.ratio, options_.mass}; }
  bool LayInLanes(DType type, size_t n_kept, size_t head_dim) const;
  KeyStore PackKeys(const HeadContext& head, size_t first, size_t count) const;
  ValueStore PackValues(const HeadContext& head, size_t first, size_t count) const;

  SparkOptions options_;
};

std::shared_ptr<const ChannelStage> MakeSparkStage(const StageOptions& options);
std::shared_ptr<const ChannelStage> MakeSparkGroupStage(const StageOptions& options);
std::shared_ptr<const ChannelStage> MakeSparkTopPStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_SPARK_H_
