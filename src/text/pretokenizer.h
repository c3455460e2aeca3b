// Cuts text into the pieces within which byte-pair encoding merges: words with their space,
// numbers, runs of punctuation. Each model family has its own patterns, named in
// `tokenizer.ggml.pre`.
#ifndef SPARK_TEXT_PRETOKENIZER_H_
#define SPARK_TEXT_PRETOKENIZER_H_

#include <string_view>
#include <vector>

namespace spark {

class PreTokenizer {
 public:
  // A name as in `tokenizer.ggml.pre`. Throws Error, listing the names, for one that is not known.
  explicit PreTokenizer(std::string_view name);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // Appends the pieces of `text`: views into it that, in order, make it up exactly. Each pattern in
  // turn cuts the pieces left by the one before; what a pattern does not match stays a piece.
  // Patterns see valid UTF-8 only: text is first cut into its longest valid runs, and a run of
  // bytes that belong to no character is a piece. Never fails: where a pattern exceeds its limits,
  // the rest of the run is one piece. Safe to call from many threads.
  void Split(std::string_view text, std::vector<std::string_view>& pieces) const;

  // Whether a piece that is itself a token is that token even if merges would not lead there.
  bool whole_pieces_first() const { return whole_pieces_first_; }

 private:
  class Pattern;

  std::vector<Pattern> patterns_;
  bool whole_pieces_first_ = false;
};

// All names that PreTokenizer knows.
std::vector<std::string_view> PreTokenizerNames();

}  // namespace spark

#endif  // SPARK_TEXT_PRETOKENIZER_H_
