// The loop of byte-pair encoding: neighbours merge, best pair first, until none can.
#ifndef SPARK_TEXT_MERGE_QUEUE_H_
#define SPARK_TEXT_MERGE_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

struct Merge {
  uint32_t rank;        // lower ones merge first; among equals the leftmost
  TokenId result = -1;  // -1: the pair does not merge
};

// `Rule` is called as Merge rule(TokenId left, TokenId right, std::string_view joined), where
// `joined` is the text of both. Equal ids must stand for equal text.
template <typename Rule>
class MergeQueue {
 public:
  // Symbols have 32-bit places in the text.
  static constexpr size_t kMaxText = size_t{1} << 30;

  explicit MergeQueue(Rule rule) : rule_(std::move(rule)) {}

  void Clear() {
    symbols_.clear();
    queue_.clear();
  }

  // A symbol to start from, whose text begins at `begin`; in order.
  void Add(TokenId id, size_t begin) {
    const auto position = static_cast<int32_t>(symbols_.size());
    symbols_.push_back({id, static_cast<uint32_t>(begin), position - 1, position + 1});
  }

  // Merges the symbols, which make up `text` of up to kMaxText bytes, and appends what is left of
  // them. O(n log n).
  void Run(std::string_view text, std::vector<TokenId>& ids) {
    if (symbols_.empty()) return;
    symbols_.back().next = -1;
    text_ = text;
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) Propose(static_cast<int32_t>(i));
    std::make_heap(queue_.begin(), queue_.end(), MergesLater);
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), MergesLater);
      const Candidate candidate = queue_.back();
      queue_.pop_back();
      if (!Apply(candidate)) continue;
      for (const int32_t position : {At(candidate.position).previous, candidate.position}) {
        const size_t queued = queue_.size();
        Propose(position);
        if (queue_.size() > queued) std::push_heap(queue_.begin(), queue_.end(), MergesLater);
      }
    }
    for (int32_t i = 0; i >= 0; i = At(i).next) ids.push_back(At(i).id);
  }

 private:
  struct Symbol {
    TokenId id;  // -1: merged into the symbol before it
    uint32_t begin;
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

  static bool MergesLater(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }

  Symbol& At(int32_t position) { return symbols_[static_cast<size_t>(position)]; }
  size_t End(const Symbol& symbol) {
    return symbol.next < 0 ? text_.size() : At(symbol.next).begin;
  }

  // Queues the pair that begins at `position`, if it merges; -1 is before the first symbol.
  void Propose(int32_t position) {
    if (position < 0) return;
    const Symbol& left = At(position);
    if (left.next < 0) return;
    const Symbol& right = At(left.next);
    const std::string_view joined = text_.substr(left.begin, End(right) - left.begin);
    const Merge merge = rule_(left.id, right.id, joined);
    if (merge.result < 0) return;
    queue_.push_back({merge.rank, position, left.id, right.id, merge.result});
  }

  // False if the candidate is stale. Symbols only ever grow, so equal ids mean an unchanged pair.
  bool Apply(const Candidate& candidate) {
    Symbol& left = At(candidate.position);
    if (left.id != candidate.left || left.next < 0) return false;
    Symbol& right = At(left.next);
    if (right.id != candidate.right) return false;
    left.id = candidate.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) At(left.next).previous = candidate.position;
    return true;
  }

  Rule rule_;
  std::string_view text_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> queue_;  // a heap, first to merge on top
};

}  // namespace spark

#endif  // SPARK_TEXT_MERGE_QUEUE_H_
