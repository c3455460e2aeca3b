// Where text of a SentencePiece vocabulary can be cut without changing its tokens.
#ifndef SPARK_TEXT_SPACE_CUTS_H_
#define SPARK_TEXT_SPACE_CUTS_H_

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "text/token_table.h"

namespace spark {

// These vocabularies merge over a whole text, in principle. But hardly any token has ▁ behind
// another character, and where no token could span "x▁", what is on one side merges as if the other
// weren't there. So words can be encoded by themselves, which is faster, and remembered.
class SpaceCuts {
 public:
  explicit SpaceCuts(const TokenTable& tokens);

  // Appends the pieces of `text`, which are views that make it up.
  void Split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  bool has_mark_;                           // without a token for ▁ alone nothing is cut
  std::unordered_set<std::string> joined_;  // characters that a token has before ▁, but ▁
};

}  // namespace spark

#endif  // SPARK_TEXT_SPACE_CUTS_H_
