#include <utility>

#include "spark/tokenizer.h"
#include "text/utf8.h"

namespace spark {

std::string Tokenizer::Decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += TokenBytes(id);
  if (drops_first_space() && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::string StreamDecoder::Push(TokenId id) {
  pending_ += tokenizer_.TokenBytes(id);
  size_t ready = 0;
  while (ready < pending_.size()) {
    const Utf8Step step = NextUtf8(std::string_view(pending_).substr(ready));
    if (step.kind == Utf8Step::Kind::kIncomplete) break;
    ready += step.size;
  }
  std::string shown = pending_.substr(0, ready);
  pending_.erase(0, ready);
  return shown;
}

std::string StreamDecoder::Flush() { return std::exchange(pending_, {}); }

}  // namespace spark
