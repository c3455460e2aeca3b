#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace spark {

void AddedTokens::Add(const AddedToken& token) {
  if (token.content.empty()) return;
  Set& set = sets_[token.normalized];
  set.is_empty = false;
  set.all.Add(token.content, token.id);
  if (!token.special) set.text.Add(token.content, token.id);
  if (token.single_word || token.lstrip || token.rstrip) {
    rules_[token.id] = {token.single_word, token.lstrip, token.rstrip};
  }
}

TokenTrie::Match AddedTokens::FindFirst(std::string_view text, size_t begin, Stage stage,
                                        Tokenizer::Special special) const {
  const Set& set = sets_[stage == Stage::kNormalized];
  const TokenTrie& trie = special == Tokenizer::Special::kParse ? set.all : set.text;
  for (size_t from = begin;;) {
    TokenTrie::Match match = trie.FindFirst(text, from);
    const auto found = match.id < 0 ? rules_.end() : rules_.find(match.id);
    if (found == rules_.end()) return match;
    const Rules& rules = found->second;
    const std::string_view before = text.substr(0, match.begin);
    const std::string_view behind = text.substr(match.begin + match.size);
    if (rules.single_word && (EndsWithWord(before) || BeginsWithWord(behind))) {
      from = match.begin + match.size;
      continue;
    }
    if (rules.lstrip) {
      const size_t space = TrailingSpace(before.substr(begin));
      match.begin -= space;
      match.size += space;
    }
    if (rules.rstrip) match.size += LeadingSpace(behind);
    return match;
  }
}

}  // namespace spark
