// Contexts of a given length in tokens, with facts at given depths.
#ifndef SPARK_EVAL_HAYSTACK_H_
#define SPARK_EVAL_HAYSTACK_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/seeded_random.h"
#include "eval/story.h"
#include "spark/tokenizer.h"

namespace spark {

// As a session that begins with `text` counts it: the model's beginning-of-text token included.
size_t CountTokens(const Tokenizer& tokenizer, std::string_view text);

struct PlacedFact {
  std::string text;  // one sentence, or one paragraph
  double depth = 0;  // share of the rest of the context in front of it
};

struct HaystackParts {
  std::function<story::Paragraph(SeededRandom&)> filler = story::StoryOrNotes;
  // A sentence that grows with its argument by a few tokens a step; fills what whole sentences
  // leave. Stands among the filler.
  std::function<std::string(size_t)> elastic;
  std::string intro = {};  // a paragraph in front of everything; depths begin behind it
  std::vector<PlacedFact> facts;
  size_t least_filler = 16;     // tokens; contexts without room for that are refused
  bool facts_in_lines = false;  // each fact is a paragraph of its own; else only some of them
};

// A text of at most `n_tokens`, and of nearly as many. Facts stand between sentences, as close to
// their depth as that allows; facts of one depth in their order. Throws Error, naming `task`, if
// the facts and a sentence don't fit.
std::string MakeHaystack(std::string_view task, const Tokenizer& tokenizer, size_t n_tokens,
                         const HaystackParts& parts, SeededRandom& random);

// The largest n in [least, most] for which text(n) has at most `n_tokens`; text(n) must grow with
// n. Throws Error, naming `task`, if there is none.
size_t LargestThatFits(std::string_view task, const Tokenizer& tokenizer, size_t n_tokens,
                       size_t least, size_t most, const std::function<std::string(size_t)>& text);

[[noreturn]] void FailTooShort(std::string_view task, size_t n_tokens, size_t needed);

}  // namespace spark

#endif  // SPARK_EVAL_HAYSTACK_H_
