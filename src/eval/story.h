// Small stories and notes: the text around facts. It is plain English, and the only English that
// the default model knows (data/train/corpus.py, which this follows).
#ifndef SPARK_EVAL_STORY_H_
#define SPARK_EVAL_STORY_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "eval/seeded_random.h"

namespace spark::story {

// Sentences that stand in one paragraph.
using Paragraph = std::vector<std::string>;

Paragraph Story(SeededRandom& random);
Paragraph Notes(SeededRandom& random, size_t count);
Paragraph StoryOrNotes(SeededRandom& random);

// "On Monday, Mia bought apples and pears.": as long as one likes.
class Shopping {
 public:
  explicit Shopping(SeededRandom& random);
  std::string Sentence(size_t extra_items) const;

 private:
  std::string day_, name_;
  size_t first_item_;
};

// Fills a template of story_tables.h with variables of its own choice.
std::string Fill(std::string_view sentence_template, SeededRandom& random);

}  // namespace spark::story

#endif  // SPARK_EVAL_STORY_H_
