// Keeps the number of segments small while tokens are generated.
//
// Every pass over generated tokens leaves a segment a head, and a token budget takes most of its
// tokens away again later: without this, a long answer would end with thousands of segments of a
// few tokens, each with its own fill, slack and call of a kernel.
//
// Segments merge in levels, 16 of one level into one of the next, and not all of them into one
// each time. A token is copied, and its scalar rewritten for another fill, a few times in a long
// answer instead of once every 16 passes, so rounding does not add up and time stays linear.
// Segments of the context never merge: Rewind() goes back to them, and a copy would take their
// memory a second time.
#ifndef SPARK_KV_MERGE_H_
#define SPARK_KV_MERGE_H_

#include <cstddef>
#include <span>

#include "kv/kv_cache.h"

namespace spark {

inline constexpr size_t kMergeSegments = 16;  // of a kind and level become one

// How a token's scalar changes when `fill` stands for `old`. Recovery gives a pruned channel
// s * fill[j], so for one channel the scalar times old[j] / fill[j] would be exact; for several,
// the root mean square of these keeps the size of what is recovered. Channels that nothing can
// stand for don't count. mask: [MaskBytes(dim)], the channels that are kept.
float ScalarRatio(const uint8_t* mask, const float* old, const float* fill, size_t dim);

// Whether both can be part of one segment: stores of the same kind, type and recovery.
bool CanMerge(const Segment& a, const Segment& b);

// One segment with all tokens of `segments`, in order, a level above them. All can merge.
//   dense    rows one after the other
//   sparse   SparseStore::Concatenate()
//   lanes    LaneStore::Concatenate()
//   dropped  rows read again under the newest store's channels: those it dropped go, and those
//            that an older one had dropped read as 0, as they did
Segment Merge(std::span<const SegmentPtr> segments);

// Merges, as long as there are kMergeSegments of a kind and level, among those above level 0.
void MergeGenerated(HeadCache& cache);

}  // namespace spark

#endif  // SPARK_KV_MERGE_H_
