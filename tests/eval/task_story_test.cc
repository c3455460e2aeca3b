// The stories are those that the default model was trained on.
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "eval/story.h"
#include "eval/story_tables.h"
#include "tests/support/temp_dir.h"

namespace spark::story {
namespace task_story_test {

std::string Quoted(std::string_view text) {
  std::string out(1, '"');
  for (const char c : text) {
    if (c == '"') out += '\\';
    out += c;
  }
  out += '"';
  return out;
}

size_t CountLines(const std::string& text, std::string_view begin) {
  size_t count = 0;
  for (size_t at = text.find(begin); at != text.npos; at = text.find(begin, at + 1)) ++count;
  return count;
}

TEST_CASE("Words and templates are those of data/train", "[eval][task]") {
  const std::string words = test::ReadText(SPARK_SOURCE_DIR "/data/train/words.py");
  const std::string plots = test::ReadText(SPARK_SOURCE_DIR "/data/train/plots.py");
  size_t n_words = 0;
  for (const List list : {kShe, kHe, kAdjectives, kAnimals, kPlaceKinds, kPlaces, kThings, kColors,
                          kFruits, kFoods, kSeasons, kDays, kOutdoors}) {
    for (const std::string_view word : list) {
      CAPTURE(word);
      CHECK(words.find(Quoted(word)) != words.npos);
    }
    n_words += list.size();
  }
  // Two quotes a word; the comments and the head of words.py hold some more.
  CHECK(n_words > 200);
  const auto check = [&plots](List list) {
    for (const std::string_view sentence : list) {
      CAPTURE(sentence);
      CHECK(plots.find(Quoted(sentence)) != plots.npos);
    }
  };
  check(kOpenings);
  check(kEndings);
  check(kNotes);
  for (const List plot : kPlots) check(plot);
  CHECK(kPlots.size() == CountLines(plots, "    (  # "));
}

TEST_CASE("Stories and notes are whole sentences", "[eval][task]") {
  SeededRandom random(3);
  for (int i = 0; i < 300; ++i) {
    for (const std::string& sentence : StoryOrNotes(random)) {
      CAPTURE(sentence);
      CHECK(sentence.find_first_of("<>{}|") == std::string::npos);
      CHECK((sentence[0] == '"' || (sentence[0] >= 'A' && sentence[0] <= 'Z')));
      CHECK((sentence.ends_with('.') || sentence.ends_with('!') || sentence.ends_with('"')));
      for (const char* wrong : {" a a", " a e", " a i", " a o", " a u"}) {
        CHECK(sentence.find(wrong) == std::string::npos);
      }
    }
  }
}

TEST_CASE("A shopping list grows by an item a step", "[eval][task]") {
  SeededRandom random(3);
  const Shopping shopping(random);
  std::string last = shopping.Sentence(0);
  CHECK(last.find(" and ") == std::string::npos);
  for (size_t items = 1; items < 20; ++items) {
    const std::string next = shopping.Sentence(items);
    CHECK(next.size() > last.size());
    CHECK(next.starts_with(last.substr(0, last.size() - 1)));
    last = next;
  }
}

}  // namespace task_story_test
}  // namespace spark::story
