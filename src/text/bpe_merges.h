// Byte-pair encoding: which pairs of tokens merge, in which order.
#ifndef SPARK_TEXT_BPE_MERGES_H_
#define SPARK_TEXT_BPE_MERGES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace spark {

// Pair of tokens -> rank (its place in the file: lower merges first) and the token it becomes.
class BpeMerges {
 public:
  struct Merge {
    uint32_t rank;
    TokenId result;
  };

  // `merges` as in GGUF: "left right" in the byte alphabet. Throws Error if one cannot be read or
  // names what is not a token. Of equal pairs the first counts.
  BpeMerges(std::span<const std::string_view> merges, const TokenTable& tokens);

  // Null if the pair does not merge.
  const Merge* Find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[SlotOf(Key(left, right))];
    return slot.key == kFree ? nullptr : &slot.merge;
  }

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

// Turns pieces of text into tokens. Holds scratch memory, so one thread at a time.
class BpeEncoder {
 public:
  // Both must outlive the encoder.
  BpeEncoder(const TokenTable& tokens, const BpeMerges& merges);

  // Appends the tokens of `piece`: its bytes, merged until no pair merges, always the pair of the
  // lowest rank and of those the leftmost. O(n log n). A byte without a token is dropped.
  void Append(std::string_view piece, std::vector<TokenId>& ids);

 private:
  struct Symbol {
    TokenId id;  // -1: merged into the symbol before it
    int32_t previous;
    int32_t next;
  };
  // A pair that merged when it was queued. It is stale if either symbol has changed since.
  struct Candidate {
    uint32_t rank;
    int32_t position;  // of the left symbol
    TokenId left;
    TokenId right;
    TokenId result;
  };

  void AppendPart(std::string_view part, std::vector<TokenId>& ids);
  void Propose(int32_t position);
  bool Apply(const Candidate& candidate);

  const BpeMerges& merges_;
  std::array<TokenId, 256> byte_ids_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> queue_;  // a heap, first to merge on top
};

}  // namespace spark

#endif  // SPARK_TEXT_BPE_MERGES_H_
