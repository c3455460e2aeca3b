// Byte-pair encoding: which pairs of tokens merge, in which order.
#ifndef SPARK_TEXT_BPE_MERGES_H_
#define SPARK_TEXT_BPE_MERGES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/merge_queue.h"
#include "text/token_table.h"

namespace spark {

struct MergeEntry {
  TokenId left;
  TokenId right;
  TokenId result;
};

// Pair of tokens -> rank (its place in the list: lower merges first) and the token it becomes.
class BpeMerges {
 public:
  // All ids are tokens, and there are fewer than 2^31 entries. Of equal pairs the first counts.
  explicit BpeMerges(std::span<const MergeEntry> entries);

  // Result -1 if the pair does not merge.
  Merge Find(TokenId left, TokenId right) const { return slots_[SlotOf(Key(left, right))].merge; }

 private:
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  static constexpr uint64_t kFree = ~uint64_t{0};  // no pair: ids are not negative

  static uint64_t Key(TokenId left, TokenId right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t SlotOf(uint64_t key) const {
    // Fibonacci hashing: the top bits of a product with 2^64 / golden ratio.
    size_t slot = static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
    while (slots_[slot].key != key && slots_[slot].key != kFree) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }

  std::vector<Slot> slots_;  // open addressing; a power of two, at most half full
  int shift_;                // 64 - log2(slots_.size())
};

// `merges` as in GGUF: "left right" in the byte alphabet. Throws Error if one cannot be read or
// names what is not a token.
std::vector<MergeEntry> ReadGgufMerges(std::span<const std::string_view> merges,
                                       const TokenTable& tokens);

}  // namespace spark

#endif  // SPARK_TEXT_BPE_MERGES_H_
