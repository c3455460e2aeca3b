// Cuts text into the pieces within which byte-pair encoding merges: words with their space,
// numbers, runs of punctuation. Each model family has its own patterns.
#ifndef SPARK_TEXT_PRETOKENIZER_H_
#define SPARK_TEXT_PRETOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace spark {

// What becomes of a match and of the text around it (`behavior` of "Split" in tokenizer.json).
enum class SplitBehavior : uint8_t {
  kIsolated,            // each is a piece
  kRemoved,             // matches are dropped
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match begins the piece behind it
  kContiguous           // matches next to each other are one piece
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // all is one piece

  // Adds a step: it cuts the pieces left by the steps before. `invert` exchanges the roles of
  // matches and the text between them.
  void Add(Regex regex, SplitBehavior behavior = SplitBehavior::kIsolated, bool invert = false);

  // Appends the pieces of `text`: views into it that, in order, make it up exactly (but for what is
  // removed). Patterns see valid UTF-8 only: text is first cut into its longest valid runs, and a
  // run of bytes that belong to no character is a piece. Never fails: where a pattern exceeds its
  // limits, the rest of the run is one piece. Safe to call from many threads.
  void Split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Step {
    Regex regex;
    SplitBehavior behavior;
    bool invert;

    void Split(std::string_view run, Regex::Scratch& scratch,
               std::vector<std::string_view>& pieces) const;
    void SplitIsolated(std::string_view run, Regex::Scratch& scratch,
                       std::vector<std::string_view>& pieces) const;
  };

  std::vector<Step> steps_;
};

// GPT-2's pattern, which "ByteLevel" of tokenizer.json stands for.
extern const std::string_view kGpt2Pattern;

// What a name in `tokenizer.ggml.pre` says.
struct PreTokenizerFamily {
  PreTokenizer pre_tokenizer;
  bool whole_pieces_first = false;  // a piece that is a token is not merged (`ignore_merges`)
  bool add_bos = false;             // unless the file says otherwise
};

// Throws Error, listing the names, for a name that is not known.
PreTokenizerFamily MakePreTokenizer(std::string_view name);

// All names that MakePreTokenizer knows.
std::vector<std::string_view> PreTokenizerNames();

}  // namespace spark

#endif  // SPARK_TEXT_PRETOKENIZER_H_
