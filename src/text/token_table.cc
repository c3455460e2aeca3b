#include "text/token_table.h"

#include <fmt/format.h>

#include <bit>
#include <functional>
#include <limits>

#include "spark/error.h"
#include "text/byte_alphabet.h"

namespace spark {
namespace {

TokenType CheckedType(size_t i, int32_t type) {
  if (type < 1 || type > 6) {
    throw Error("not a token type", {.field = fmt::format("tokenizer.ggml.token_type[{}]", i),
                                     .found = fmt::format("{}", type),
                                     .allowed = "1 (normal) to 6 (byte)"});
  }
  return static_cast<TokenType>(type);
}

// Control and user-defined tokens are text; so is what stands in for unused ids.
bool IsWrittenAsText(TokenType type) {
  return type != TokenType::kNormal && type != TokenType::kByte;
}

}  // namespace

TokenTable::TokenTable(std::span<const std::string_view> tokens, std::span<const int32_t> types) {
  if (tokens.empty() || tokens.size() > std::numeric_limits<TokenId>::max()) {
    throw Error("not a vocabulary", {.field = "tokenizer.ggml.tokens",
                                     .found = fmt::format("{} tokens", tokens.size())});
  }
  if (!types.empty() && types.size() != tokens.size()) {
    throw Error("not one type a token", {.field = "tokenizer.ggml.token_type",
                                         .found = fmt::format("{} types", types.size()),
                                         .allowed = fmt::format("{}", tokens.size())});
  }
  size_t total = 0;
  for (const std::string_view token : tokens) total += token.size();
  bytes_.reserve(total);
  ends_.reserve(tokens.size() + 1);
  types_.reserve(tokens.size());
  slots_.assign(std::bit_ceil(2 * tokens.size()), -1);

  ends_.push_back(0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    types_.push_back(types.empty() ? TokenType::kNormal : CheckedType(i, types[i]));
    if (IsWrittenAsText(types_[i])) {
      bytes_ += tokens[i];
    } else if (!AppendBytesOf(tokens[i], bytes_)) {
      throw Error("a normal token has a character outside the byte-level alphabet",
                  {.field = fmt::format("tokenizer.ggml.tokens[{}]", i),
                   .found = fmt::format("\"{}\"", tokens[i].substr(0, 64))});
    }
    ends_.push_back(bytes_.size());
    Index(static_cast<TokenId>(i));
  }
}

size_t TokenTable::SlotOf(std::string_view bytes) const {
  size_t slot = std::hash<std::string_view>{}(bytes) & (slots_.size() - 1);
  while (slots_[slot] >= 0 && Bytes(slots_[slot]) != bytes) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void TokenTable::Index(TokenId id) {
  if (Bytes(id).empty()) return;  // encodes nothing
  TokenId& slot = slots_[SlotOf(Bytes(id))];
  if (slot < 0 || Type(id) == TokenType::kNormal || Type(slot) != TokenType::kNormal) slot = id;
}

TokenId TokenTable::Find(std::string_view bytes) const { return slots_[SlotOf(bytes)]; }

}  // namespace spark
