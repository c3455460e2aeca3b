#include "text/token_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/quoted.h"
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

uint32_t Hash(std::string_view bytes) {
  return static_cast<uint32_t>(std::hash<std::string_view>{}(bytes));
}

// Control and user-defined tokens are text; so is what stands in for unused ids.
bool IsWrittenAsText(TokenType type) {
  return type != TokenType::kNormal && type != TokenType::kByte;
}

}  // namespace

TokenTable::TokenTable(std::span<const std::string_view> tokens, std::span<const int32_t> types,
                       Spelling spelling) {
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
  if (total > StringTable::kMaxBytes) {
    throw Error("too large", {.field = "tokenizer.ggml.tokens",
                              .found = fmt::format("{} bytes", total),
                              .allowed = "4 GiB"});
  }
  strings_.Reserve(tokens.size(), total);
  types_.reserve(tokens.size());
  slots_.assign(std::bit_ceil(2 * tokens.size()), Slot{0, -1});

  for (size_t i = 0; i < tokens.size(); ++i) {
    types_.push_back(types.empty() ? TokenType::kNormal : CheckedType(i, types[i]));
    if (spelling == Spelling::kPlain || IsWrittenAsText(types_[i])) {
      strings_.bytes() += tokens[i];
    } else if (!AppendBytesOf(tokens[i], strings_.bytes())) {
      throw Error(
          "a normal token has a character outside the byte-level alphabet",
          {.field = fmt::format("tokenizer.ggml.tokens[{}]", i), .found = Quoted(tokens[i])});
    }
    strings_.EndString();
    max_token_size_ = std::max(max_token_size_, strings_[i].size());
    Index(static_cast<TokenId>(i));
  }
}

size_t TokenTable::SlotOf(std::string_view bytes, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  for (; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].hash == hash && Bytes(slots_[i].id) == bytes) break;
  }
  return i;
}

void TokenTable::Index(TokenId id) {
  if (Bytes(id).empty()) return;  // encodes nothing
  const uint32_t hash = Hash(Bytes(id));
  Slot& slot = slots_[SlotOf(Bytes(id), hash)];
  if (slot.id >= 0) is_unique_ = false;
  const bool yields = slot.id < 0 || Type(slot.id) != TokenType::kNormal;
  if (yields || Type(id) == TokenType::kNormal) slot = {hash, id};
}

TokenId TokenTable::Find(std::string_view bytes, TokenId guess) const {
  if (is_unique_ && guess >= 0 && static_cast<size_t>(guess) < size() && Bytes(guess) == bytes) {
    return guess;
  }
  return slots_[SlotOf(bytes, Hash(bytes))].id;
}

}  // namespace spark
