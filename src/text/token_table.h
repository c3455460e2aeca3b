// The tokens of a byte-level BPE vocabulary as bytes, found by id and by their bytes.
#ifndef SPARK_TEXT_TOKEN_TABLE_H_
#define SPARK_TEXT_TOKEN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

// As numbered in GGUF's `tokenizer.ggml.token_type`.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

class TokenTable {
 public:
  // `types` is empty (all normal) or has one entry a token. Normal tokens are written in the byte
  // alphabet, control and user-defined ones as they are. Nothing is kept of the arguments. Throws
  // Error if a type is unknown or a normal token cannot be read.
  TokenTable(std::span<const std::string_view> tokens, std::span<const int32_t> types);

  size_t size() const { return types_.size(); }
  TokenType Type(TokenId id) const { return types_[static_cast<size_t>(id)]; }
  std::string_view Bytes(TokenId id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(ends_[i], ends_[i + 1] - ends_[i]);
  }

  // The token with these bytes, -1 if there is none. Real vocabularies hold some strings twice: a
  // normal token is preferred to any other type, and among equals the last, as in llama.cpp.
  TokenId Find(std::string_view bytes) const;

 private:
  size_t SlotOf(std::string_view bytes) const;
  void Index(TokenId id);

  std::string bytes_;         // of all tokens, one after another
  std::vector<size_t> ends_;  // 0, then the end of each token in bytes_
  std::vector<TokenType> types_;
  std::vector<TokenId> slots_;  // open addressing, -1 is free; a power of two, at most half full
};

}  // namespace spark

#endif  // SPARK_TEXT_TOKEN_TABLE_H_
