// Finds the longest of many strings at a place in a text: special tokens, of which a vocabulary may
// have hundreds that share a beginning ("<|reserved_special_token_").
#ifndef SPARK_TEXT_TOKEN_TRIE_H_
#define SPARK_TEXT_TOKEN_TRIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

class TokenTrie {
 public:
  struct Match {
    size_t begin;
    size_t size;
    TokenId id;
  };

  TokenTrie() : nodes_(1) {}

  // An empty string is never found. Of equal strings the last one added is.
  void Add(std::string_view text, TokenId id);

  // The first place at or after `begin` where a string stands, and the longest that stands there.
  // Without one: {text.size(), 0, -1}.
  Match FindFirst(std::string_view text, size_t begin) const;

 private:
  struct Node {
    TokenId id = -1;                                     // of the string that ends here
    std::vector<std::pair<uint8_t, uint32_t>> children;  // byte, node; few, so unsorted
  };

  const uint32_t* Child(const Node& node, uint8_t byte) const;

  std::vector<Node> nodes_;         // the first is the root
  std::array<bool, 256> starts_{};  // bytes that a string begins with
};

}  // namespace spark

#endif  // SPARK_TEXT_TOKEN_TRIE_H_
