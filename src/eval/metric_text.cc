#include "eval/metric_text.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace spark {
namespace {

bool IsAsciiPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

bool IsArticle(std::string_view word) { return word == "a" || word == "an" || word == "the"; }

// Calls visit(bytes of a character, or one byte that is of none).
template <typename Visit>
void ForEachPart(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t size = NextUtf8(text).size;
    visit(text.substr(0, size));
    text.remove_prefix(size);
  }
}

// Cuts `text` into runs of characters that are alike to `inside`, and those between.
template <typename Inside, typename Visit>
void ForEachRun(std::string_view text, Inside inside, Visit visit) {
  size_t begin = 0;
  size_t end = 0;
  bool was_inside = false;
  ForEachPart(text, [&](std::string_view part) {
    const bool is_inside = inside(part);
    if (is_inside != was_inside && end > begin) {
      visit(text.substr(begin, end - begin), was_inside);
      begin = end;
    }
    was_inside = is_inside;
    end += part.size();
  });
  if (end > begin) visit(text.substr(begin, end - begin), was_inside);
}

}  // namespace

std::vector<std::string> NormalizedWords(std::string_view text) {
  std::string bare = Lowercase(text);
  std::erase_if(bare, IsAsciiPunctuation);
  // SQuAD leaves articles out by \b(a|an|the)\b: also those next to a sign that is no ASCII
  // punctuation ("a–b").
  std::string without_articles;
  ForEachRun(bare, BeginsWithWord,
             [&](std::string_view run, bool) { without_articles += IsArticle(run) ? " " : run; });
  std::vector<std::string> words;
  const auto is_text = [](std::string_view part) { return LeadingSpace(part) == 0; };
  ForEachRun(without_articles, is_text, [&](std::string_view run, bool is_word) {
    if (is_word) words.emplace_back(run);
  });
  return words;
}

std::vector<std::string> LetterRuns(std::string_view text) {
  std::vector<std::string> words;
  const std::string lower = Lowercase(text);
  const auto is_letter = [](std::string_view part) { return part != "_" && BeginsWithWord(part); };
  ForEachRun(lower, is_letter, [&](std::string_view run, bool is_word) {
    if (is_word) words.emplace_back(run);
  });
  return words;
}

std::vector<uint32_t> CodePoints(std::string_view text) {
  std::vector<uint32_t> points;
  points.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const auto byte = [text](size_t i) { return uint32_t{static_cast<uint8_t>(text[i])}; };
    uint32_t point = byte(0);
    if (step.kind != Utf8Step::Kind::kCharacter) {
      for (size_t i = 0; i < step.size; ++i) points.push_back(0x110000 + byte(i));
    } else {
      if (step.size > 1) point &= 0x7Fu >> step.size;
      for (size_t i = 1; i < step.size; ++i) point = point << 6 | (byte(i) & 0x3F);
      points.push_back(point);
    }
    text.remove_prefix(step.size);
  }
  return points;
}

std::string_view FirstCodeLine(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.find_first_of("`#") == line.npos && line.find("//") == line.npos) return line;
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return {};
}

}  // namespace spark
