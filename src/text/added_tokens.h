// Tokens that are found in text before anything else is done to it: control tokens, and those that
// a vocabulary adds for text.
#ifndef SPARK_TEXT_ADDED_TOKENS_H_
#define SPARK_TEXT_ADDED_TOKENS_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "spark/tokenizer.h"
#include "text/token_trie.h"

namespace spark {

struct AddedToken {
  std::string_view content;  // for `normalized` ones, as the normalizer leaves it
  TokenId id;
  bool special = false;      // only where special tokens are asked for
  bool normalized = false;   // is found in normalized text, else in the text as it was
  bool single_word = false;  // not next to a letter, digit, …
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
};

class AddedTokens {
 public:
  enum class Stage : uint8_t { kRaw, kNormalized };

  void Add(const AddedToken& token);  // of equal contents the last counts
  bool empty(Stage stage) const { return sets_[stage == Stage::kNormalized].is_empty; }

  // The first place at or after `begin` where one stands; the longest that does. Without one:
  // {text.size(), 0, -1}.
  TokenTrie::Match FindFirst(std::string_view text, size_t begin, Stage stage,
                             Tokenizer::Special special) const;

 private:
  struct Rules {
    bool single_word;
    bool lstrip;
    bool rstrip;
  };
  struct Set {
    TokenTrie text;  // without the special ones
    TokenTrie all;
    bool is_empty = true;
  };

  Set sets_[2];
  std::unordered_map<TokenId, Rules> rules_;  // of those that have any
};

}  // namespace spark

#endif  // SPARK_TEXT_ADDED_TOKENS_H_
