// The tokens of a vocabulary as bytes, found by id and by their bytes.
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

// Many short strings in one piece of memory.
class StringTable {
 public:
  static constexpr size_t kMaxBytes = 0xFFFFFFFF;  // of all strings together

  void Reserve(size_t strings, size_t bytes) {
    ends_.reserve(strings + 1);
    bytes_.reserve(bytes);
  }
  // Ends the string that was appended to bytes().
  void EndString() { ends_.push_back(static_cast<uint32_t>(bytes_.size())); }
  std::string& bytes() { return bytes_; }

  size_t size() const { return ends_.size() - 1; }
  std::string_view operator[](size_t i) const {
    return std::string_view(bytes_).substr(ends_[i], ends_[i + 1] - ends_[i]);
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_ = {0};  // 0, then the end of each string in bytes_
};

// How normal tokens are written: in the byte alphabet (text/byte_alphabet.h), or as they are.
enum class Spelling : uint8_t { kByteAlphabet, kPlain };

class TokenTable {
 public:
  // `types` is empty (all normal) or has one entry a token. Control and user-defined tokens are
  // written as they are in both spellings. Nothing is kept of the arguments. Throws Error, naming
  // GGUF's fields, if a type is unknown or a normal token cannot be read.
  TokenTable(std::span<const std::string_view> tokens, std::span<const int32_t> types,
             Spelling spelling = Spelling::kByteAlphabet);

  size_t size() const { return types_.size(); }
  TokenType Type(TokenId id) const { return types_[static_cast<size_t>(id)]; }
  std::string_view Bytes(TokenId id) const { return strings_[static_cast<size_t>(id)]; }
  size_t max_token_size() const { return max_token_size_; }  // bytes

  // The token with these bytes, -1 if there is none. Real vocabularies hold some strings twice: a
  // normal token is preferred to any other type, and among equals the last, as in llama.cpp.
  // `guess`, if it is an id and right, saves the search.
  TokenId Find(std::string_view bytes, TokenId guess = -1) const;

 private:
  // The hash spares most looks at bytes that differ, each of which is a cache miss or two.
  struct Slot {
    uint32_t hash;
    TokenId id;  // -1: free
  };

  size_t SlotOf(std::string_view bytes, uint32_t hash) const;
  void Index(TokenId id);

  StringTable strings_;
  std::vector<TokenType> types_;
  std::vector<Slot> slots_;  // open addressing; a power of two, at most half full
  size_t max_token_size_ = 0;
  bool is_unique_ = true;  // no two tokens have the same bytes
};

}  // namespace spark

#endif  // SPARK_TEXT_TOKEN_TABLE_H_
