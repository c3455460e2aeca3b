#include "text/space_cuts.h"

#include <algorithm>

#include "text/normalizer.h"

namespace spark {
namespace {

// The bytes of the character that ends `text`, valid or not.
std::string_view CharacterBefore(std::string_view text) {
  size_t size = 1;
  while (size < std::min<size_t>(4, text.size()) &&
         (static_cast<uint8_t>(text[text.size() - size]) & 0xC0) == 0x80) {
    ++size;
  }
  return text.substr(text.size() - size);
}

}  // namespace

SpaceCuts::SpaceCuts(const TokenTable& tokens) : has_mark_(tokens.Find(kSpaceMark) >= 0) {
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens.Bytes(static_cast<TokenId>(id));
    for (size_t at = token.find(kSpaceMark, 1); at < token.size();
         at = token.find(kSpaceMark, at + 1)) {
      const std::string_view before = CharacterBefore(token.substr(0, at));
      if (before != kSpaceMark) joined_.emplace(before);
    }
  }
}

void SpaceCuts::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  size_t done = 0;
  if (has_mark_) {
    std::string scratch;
    for (size_t at = text.find(kSpaceMark, 1); at < text.size();
         at = text.find(kSpaceMark, at + 1)) {
      const std::string_view before = CharacterBefore(text.substr(0, at));
      if (before == kSpaceMark) continue;
      scratch = before;
      if (joined_.contains(scratch)) continue;
      pieces.push_back(text.substr(done, at - done));
      done = at;
    }
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
}

}  // namespace spark
