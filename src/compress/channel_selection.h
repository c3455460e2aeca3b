// Which channels of one token stay: how many by the rule, and of those the largest.
#ifndef SPARK_COMPRESS_CHANNEL_SELECTION_H_
#define SPARK_COMPRESS_CHANNEL_SELECTION_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace spark {

// How many key channels a token keeps (SparK, arXiv 2508.15212, spark.md §2).
enum class BudgetRule : uint8_t {
  kRatio,  // the same number for every token
  kGroup,  // a token whose contributions are concentrated keeps fewer, in five steps
  kTopP,   // as many as make up a share of the token's contributions
};

struct ChannelBudget {
  BudgetRule rule = BudgetRule::kRatio;
  double ratio = 0.5;  // kRatio: share of channels removed, [0, 1)
  double mass = 0.99;  // kGroup, kTopP: share of a token's contributions, [0, 1]

  // Whether any token of this size may lose a channel.
  bool Prunes(size_t dim) const;
  // Of a token with these contributions, as RankKey()s (base/ranking.h). Only kRatio leaves them in
  // their order, the other rules sort them.
  size_t Kept(std::span<uint64_t> ranked) const;
};

// Moves the `n_kept` largest keys to the front and sets the bits of their channels in `mask`, which
// has room for all of them; the others are cleared.
void KeepLargest(std::span<uint64_t> ranked, size_t n_kept, uint8_t* mask);

}  // namespace spark

#endif  // SPARK_COMPRESS_CHANNEL_SELECTION_H_
