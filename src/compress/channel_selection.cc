#include "compress/channel_selection.h"

#include <algorithm>
#include <functional>

#include "base/ranking.h"
#include "compress/stage.h"
#include "kv/channel_mask.h"

namespace spark {
namespace {

// The first index at which the running sum of sorted contributions exceeds the share `mass` of
// their total: 0 if they are all 0, the last one if none does.
size_t FirstBeyond(std::span<const uint64_t> sorted, double mass) {
  double total = 0;
  for (const uint64_t key : sorted) total += RankedValue(key);
  if (total == 0) return 0;
  double running = 0;
  for (size_t i = 0; i + 1 < sorted.size(); ++i) {
    running += RankedValue(sorted[i]);
    if (running > mass * total) return i;
  }
  return sorted.size() - 1;
}

// Tokens fall into five buckets by how many channels hold the mass: up to 20 %, 40 %, 60 % and
// 80 % of them, and the rest; those keep 10 %, 30 %, … 90 % of the channels. That is none for the
// first bucket of a head smaller than ten.
size_t GroupChannels(size_t first_beyond, size_t dim) {
  size_t bucket = 0;
  while (bucket < 4 && first_beyond > (bucket + 1) * 2 * dim / 10) ++bucket;
  return (2 * bucket + 1) * dim / 10;
}

}  // namespace

bool ChannelBudget::Prunes(size_t dim) const {
  switch (rule) {
    case BudgetRule::kRatio:
      return KeptChannels(ratio, dim) < dim;
    case BudgetRule::kTopP:
      return mass < 1;
    case BudgetRule::kGroup:
      break;
  }
  return true;  // the last bucket loses a tenth
}

size_t ChannelBudget::Kept(std::span<uint64_t> ranked) const {
  const size_t dim = ranked.size();
  if (rule == BudgetRule::kRatio) return KeptChannels(ratio, dim);
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  const size_t first = FirstBeyond(ranked, mass);
  return rule == BudgetRule::kGroup ? GroupChannels(first, dim) : first + 1;
}

void KeepLargest(std::span<uint64_t> ranked, size_t n_kept, uint8_t* mask) {
  std::fill_n(mask, MaskBytes(ranked.size()), uint8_t{0});
  if (n_kept == 0) return;
  const auto last = ranked.begin() + static_cast<std::ptrdiff_t>(n_kept - 1);
  std::nth_element(ranked.begin(), last, ranked.end(), std::greater<>());
  for (size_t i = 0; i < n_kept; ++i) SetMaskBit(mask, RankedIndex(ranked[i]));
}

}  // namespace spark
