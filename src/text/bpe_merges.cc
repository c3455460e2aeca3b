#include "text/bpe_merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "spark/error.h"
#include "text/byte_alphabet.h"

namespace spark {
namespace {

[[noreturn]] void Fail(size_t i, std::string_view merge, const char* message) {
  throw Error(message, {.field = fmt::format("tokenizer.ggml.merges[{}]", i),
                        .found = fmt::format("\"{}\"", merge.substr(0, 128))});
}

struct Parts {
  TokenId left;
  TokenId right;
  TokenId result;
};

// `scratch` is memory to reuse.
Parts ParseMerge(size_t i, std::string_view merge, const TokenTable& tokens, std::string& scratch) {
  // A space is not in the alphabet, so it can only be the separator.
  const size_t space = merge.find(' ');
  scratch.clear();
  if (space == std::string_view::npos || !AppendBytesOf(merge.substr(0, space), scratch)) {
    Fail(i, merge, "not two tokens in the byte-level alphabet");
  }
  const size_t middle = scratch.size();
  if (!AppendBytesOf(merge.substr(space + 1), scratch)) {
    Fail(i, merge, "not two tokens in the byte-level alphabet");
  }
  const std::string_view bytes = scratch;
  const Parts parts = {tokens.Find(bytes.substr(0, middle)), tokens.Find(bytes.substr(middle)),
                       tokens.Find(bytes)};
  if (parts.left < 0 || parts.right < 0) Fail(i, merge, "merges what is not a token");
  if (parts.result < 0) Fail(i, merge, "merges into what is not a token");
  return parts;
}

// Positions in a part are 32-bit; a longer piece of text is cut.
constexpr size_t kMaxPart = size_t{1} << 30;

}  // namespace

BpeMerges::BpeMerges(std::span<const std::string_view> merges, const TokenTable& tokens) {
  if (merges.size() > std::numeric_limits<int32_t>::max()) {
    throw Error("too many merges", {.field = "tokenizer.ggml.merges"});
  }
  slots_.assign(std::bit_ceil(std::max<size_t>(2 * merges.size(), 2)), Slot{kFree, {}});
  shift_ = 64 - std::countr_zero(slots_.size());
  std::string scratch;
  for (size_t i = 0; i < merges.size(); ++i) {
    const Parts parts = ParseMerge(i, merges[i], tokens, scratch);
    const uint64_t key = Key(parts.left, parts.right);
    Slot& slot = slots_[SlotOf(key)];
    if (slot.key == kFree) slot = {key, {static_cast<uint32_t>(i), parts.result}};
  }
}

BpeEncoder::BpeEncoder(const TokenTable& tokens, const BpeMerges& merges) : merges_(merges) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] = tokens.Find({&c, 1});
  }
}

void BpeEncoder::Append(std::string_view piece, std::vector<TokenId>& ids) {
  for (; piece.size() > kMaxPart; piece.remove_prefix(kMaxPart)) {
    AppendPart(piece.substr(0, kMaxPart), ids);
  }
  AppendPart(piece, ids);
}

void BpeEncoder::AppendPart(std::string_view part, std::vector<TokenId>& ids) {
  symbols_.clear();
  queue_.clear();
  for (const char c : part) {
    const TokenId id = byte_ids_[static_cast<uint8_t>(c)];
    const auto position = static_cast<int32_t>(symbols_.size());
    if (id >= 0) symbols_.push_back({id, position - 1, position + 1});
  }
  if (symbols_.empty()) return;
  symbols_.back().next = -1;

  const auto merges_later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  for (size_t i = 0; i + 1 < symbols_.size(); ++i) Propose(static_cast<int32_t>(i));
  std::make_heap(queue_.begin(), queue_.end(), merges_later);
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end(), merges_later);
    const Candidate candidate = queue_.back();
    queue_.pop_back();
    if (!Apply(candidate)) continue;
    for (const int32_t position :
         {symbols_[static_cast<size_t>(candidate.position)].previous, candidate.position}) {
      const size_t queued = queue_.size();
      Propose(position);
      if (queue_.size() > queued) std::push_heap(queue_.begin(), queue_.end(), merges_later);
    }
  }
  for (int32_t i = 0; i >= 0; i = symbols_[static_cast<size_t>(i)].next) {
    ids.push_back(symbols_[static_cast<size_t>(i)].id);
  }
}

// Queues the pair that begins at `position`, if it merges; -1 is before the first symbol.
void BpeEncoder::Propose(int32_t position) {
  if (position < 0) return;
  const Symbol& left = symbols_[static_cast<size_t>(position)];
  if (left.next < 0) return;
  const TokenId right = symbols_[static_cast<size_t>(left.next)].id;
  if (const BpeMerges::Merge* merge = merges_.Find(left.id, right)) {
    queue_.push_back({merge->rank, position, left.id, right, merge->result});
  }
}

// False if the candidate is stale. Symbols only ever grow, so equal ids mean an unchanged pair.
bool BpeEncoder::Apply(const Candidate& candidate) {
  Symbol& left = symbols_[static_cast<size_t>(candidate.position)];
  if (left.id != candidate.left || left.next < 0) return false;
  Symbol& right = symbols_[static_cast<size_t>(left.next)];
  if (right.id != candidate.right) return false;
  left.id = candidate.result;
  left.next = right.next;
  right.id = -1;
  if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = candidate.position;
  return true;
}

}  // namespace spark
