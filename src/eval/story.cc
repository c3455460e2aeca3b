#include "eval/story.h"

#include <algorithm>
#include <map>

#include "eval/story_tables.h"

namespace spark::story {
namespace {

// Name of a variable → what stands for it throughout a story.
using Cast = std::map<std::string_view, std::string_view>;

void CastChild(SeededRandom& random, bool second, Cast& cast) {
  const bool girl = random.Chance(1, 2);
  const auto set = [&cast, second](std::string_view one, std::string_view two,
                                   std::string_view value) { cast[second ? two : one] = value; };
  set("child", "child2", girl ? "girl" : "boy");
  set("he", "he2", girl ? "she" : "he");
  set("his", "his2", girl ? "her" : "his");
  set("him", "him2", girl ? "her" : "him");
  std::string_view name = random.Choose(girl ? kShe : kHe);
  while (second && name == cast["A"]) name = random.Choose(girl ? kShe : kHe);
  set("A", "B", name);
}

Cast ChooseCast(SeededRandom& random) {
  Cast cast;
  CastChild(random, false, cast);
  CastChild(random, true, cast);
  cast["place"] = random.Choose(kPlaces);
  cast["color"] = random.Choose(kColors);
  cast["thing"] = random.Choose(kThings);
  cast["day"] = random.Choose(kDays);
  cast["animal"] = random.Choose(kAnimals);
  cast["fruit"] = random.Choose(kFruits);
  cast["food"] = random.Choose(kFoods);
  cast["season"] = random.Choose(kSeasons);
  cast["out"] = random.Choose(kOutdoors);
  return cast;
}

std::string_view ChooseAlternative(std::string_view alternatives, SeededRandom& random) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= alternatives.size();) {
    const size_t end = std::min(alternatives.find('|', begin), alternatives.size());
    parts.push_back(alternatives.substr(begin, end - begin));
    begin = end + 1;
  }
  return random.Choose(parts);
}

std::string FillAlternatives(std::string_view text, SeededRandom& random) {
  std::string out;
  for (;;) {
    const size_t open = text.find('{');
    out += text.substr(0, open);
    if (open == text.npos) return out;
    const size_t close = text.find('}', open);
    out += ChooseAlternative(text.substr(open + 1, close - open - 1), random);
    text.remove_prefix(close + 1);
  }
}

std::string FillVariables(std::string_view text, const Cast& cast) {
  std::string out;
  for (;;) {
    const size_t open = text.find('<');
    out += text.substr(0, open);
    if (open == text.npos) return out;
    const size_t close = text.find('>', open);
    out += cast.at(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
  }
}

// "a owl" → "an owl".
void FixArticles(std::string& text) {
  const auto is_vowel = [](char c) {
    return std::string_view("aeiou").find(c) != std::string::npos;
  };
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    const bool article = (text[i] == 'a' || text[i] == 'A') && text[i + 1] == ' ' &&
                         (i == 0 || text[i - 1] == ' ' || text[i - 1] == '"');
    if (article && is_vowel(text[i + 2])) text.insert(i + 1, "n");
  }
}

std::string Fill(std::string_view sentence, const Cast& cast, SeededRandom& random) {
  std::string text = FillAlternatives(FillVariables(sentence, cast), random);
  FixArticles(text);
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

std::string Fill(std::string_view sentence_template, SeededRandom& random) {
  const Cast cast = ChooseCast(random);
  return Fill(sentence_template, cast, random);
}

Paragraph Story(SeededRandom& random) {
  const Cast cast = ChooseCast(random);
  Paragraph sentences = {Fill(random.Choose(kOpenings), cast, random)};
  for (const std::string_view sentence : random.Choose(kPlots)) {
    sentences.push_back(Fill(sentence, cast, random));
  }
  sentences.push_back(Fill(random.Choose(kEndings), cast, random));
  return sentences;
}

Paragraph Notes(SeededRandom& random, size_t count) {
  Paragraph sentences;
  for (size_t i = 0; i < count; ++i) sentences.push_back(Fill(random.Choose(kNotes), random));
  return sentences;
}

Paragraph StoryOrNotes(SeededRandom& random) {
  return random.Chance(3, 5) ? Story(random) : Notes(random, 3 + random.Below(6));
}

Shopping::Shopping(SeededRandom& random)
    : day_(random.Choose(kDays)),
      name_(random.Choose(kHe)),
      first_item_(random.Below(kFruits.size())) {}

std::string Shopping::Sentence(size_t extra_items) const {
  std::string text = "On " + day_ + ", " + name_ + " bought ";
  for (size_t i = 0; i <= extra_items; ++i) {
    if (i > 0) text += " and ";
    text += kFruits[(first_item_ + i) % kFruits.size()];
  }
  return text + ".";
}

}  // namespace spark::story
