#include "text/bpe_merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "base/quoted.h"
#include "spark/error.h"
#include "text/byte_alphabet.h"

namespace spark {
namespace {

[[noreturn]] void Fail(size_t i, std::string_view merge, const char* message) {
  throw Error(message,
              {.field = fmt::format("tokenizer.ggml.merges[{}]", i), .found = Quoted(merge)});
}

// `guess` is what the result may be; `scratch` is memory to reuse.
MergeEntry ParseMerge(size_t i, std::string_view merge, const TokenTable& tokens, TokenId guess,
                      std::string& scratch) {
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
  const MergeEntry parts = {tokens.Find(bytes.substr(0, middle)), tokens.Find(bytes.substr(middle)),
                            tokens.Find(bytes, guess)};
  if (parts.left < 0 || parts.right < 0) Fail(i, merge, "merges what is not a token");
  if (parts.result < 0) Fail(i, merge, "merges into what is not a token");
  return parts;
}

}  // namespace

BpeMerges::BpeMerges(std::span<const MergeEntry> entries) {
  slots_.assign(std::bit_ceil(std::max<size_t>(2 * entries.size(), 2)), Slot{kFree, {0, -1}});
  shift_ = 64 - std::countr_zero(slots_.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t key = Key(entries[i].left, entries[i].right);
    Slot& slot = slots_[SlotOf(key)];
    if (slot.key == kFree) slot = {key, {static_cast<uint32_t>(i), entries[i].result}};
  }
}

std::vector<MergeEntry> ReadGgufMerges(std::span<const std::string_view> merges,
                                       const TokenTable& tokens) {
  if (merges.size() > std::numeric_limits<int32_t>::max()) {
    throw Error("too many merges", {.field = "tokenizer.ggml.merges"});
  }
  std::vector<MergeEntry> entries;
  entries.reserve(merges.size());
  std::string scratch;
  TokenId guess = -1;
  for (size_t i = 0; i < merges.size(); ++i) {
    entries.push_back(ParseMerge(i, merges[i], tokens, guess, scratch));
    guess = entries.back().result + 1;  // vocabularies list tokens in the order of the merges
  }
  return entries;
}

}  // namespace spark
