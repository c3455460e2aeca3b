// Examples of texts with their class; the class of a new one is asked.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "eval/haystack.h"
#include "eval/story_tables.h"
#include "eval/task_generated.h"

namespace spark {
namespace {

constexpr size_t kClasses = 4;
constexpr size_t kLeastFiller = 100;  // tokens: one example of each class, and some more

// A kind of text, by templates of story_tables.h.
struct Topic {
  std::array<std::string_view, 4> texts;
};
constexpr std::array<Topic, kClasses> kTopics = {{
    {{"The <animal> {ran|walked} through the <out>.",
      "A {small|hungry} <animal> sat near the <out>.",
      "<A> saw a <animal> {in the morning|at night}.", "The <animal> was {asleep|hurt|afraid}."}},
    {{"<A> ate <fruit> and <food> for {lunch|dinner}.", "There was <food> for {lunch|dinner}.",
      "The <fruit> tasted {sweet|very good}.", "<A> baked <food> {for <B>|with <fruit>}."}},
    {{"The weather in <season> was {warm|cold|wet|dry}.", "It rained near the <out> on <day>.",
      "The sky was {dark|bright} on <day>.", "A {big|cold} storm came in <season>."}},
    {{"<A> wrote a {long|short} letter to <B>.", "<B> is the best friend of <A>.",
      "<A> and <B> {talked|laughed} together.", "<A> thanked <B> for the help on <day>."}},
}};
constexpr std::array<std::string_view, kClasses> kLabels = {"red", "blue", "green", "yellow"};

std::string Example(std::string_view text, std::string_view label) {
  return fmt::format("Text: {}\nColor: {}", text, label);
}

// The class is a colour, so that it can be known from the examples only.
Sample ClassifyTexts(const SampleSetting& setting, SeededRandom& random) {
  const auto labels = random.Sample(kLabels, kClasses);
  const auto text = [](size_t topic, SeededRandom& from) {
    return story::Fill(from.Choose(kTopics[topic].texts), from);
  };
  const size_t asked = random.Below(kClasses);
  const std::string question = text(asked, random);
  std::vector<size_t> turn;  // topics left of a round, so that classes are equally frequent
  HaystackParts parts;
  parts.least_filler = kLeastFiller;
  parts.filler = [&](SeededRandom& from) -> story::Paragraph {
    for (;;) {
      if (turn.empty()) turn = from.Sample(std::array<size_t, kClasses>{0, 1, 2, 3}, kClasses);
      const size_t topic = turn.back();
      const std::string shown = text(topic, from);
      if (shown == question) continue;
      turn.pop_back();
      return {Example(shown, labels[topic])};
    }
  };
  const auto shown_animals = random.Sample(story::kAnimals, 24);
  parts.elastic = [&](size_t steps) {
    std::string animals = fmt::format("The {}", shown_animals[0]);
    for (size_t i = 1; i <= steps; ++i) {
      animals += fmt::format(" and the {}", shown_animals[i % shown_animals.size()]);
    }
    return Example(animals + " ran.", labels[0]);
  };
  Sample sample;
  sample.context =
      MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random);
  sample.question = fmt::format("\nText: {}\nColor:", question);
  sample.answers = {std::string(labels[asked])};
  sample.max_new_tokens = 6;
  sample.stops = {"\n", "."};
  return sample;
}

// In sentences of the stories: the adjective decides where somebody lives, and the one asked for is
// no example.
Sample ClassifyHomes(const SampleSetting& setting, SeededRandom& random) {
  const auto adjectives = random.Sample(story::kAdjectives, kClasses);
  const auto animals = random.Sample(story::kAnimals, story::kAnimals.size());
  const auto kinds = random.Sample(story::kPlaceKinds, kClasses);
  const auto places = random.Sample(story::kPlaces, kClasses);
  const auto home = [&](size_t i) { return fmt::format("{} {}", kinds[i], places[i]); };
  const size_t asked = random.Below(kClasses);
  size_t shown = 0;
  HaystackParts parts;
  parts.least_filler = kLeastFiller;
  parts.filler = [&](SeededRandom& from) -> story::Paragraph {
    const size_t topic = shown++ % kClasses;
    const auto animal = animals[1 + from.Below(animals.size() - 1)];
    return {fmt::format("The {} {} lives in the {}.", adjectives[topic], animal, home(topic))};
  };
  const story::Shopping shopping(random);
  parts.elastic = [&](size_t steps) { return shopping.Sentence(steps); };
  Sample sample;
  sample.context =
      MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random);
  sample.question = fmt::format("\nWhere does the {0} {1} live?\nThe {0} {1} lives in the",
                                adjectives[asked], animals[0]);
  sample.answers = {home(asked)};
  sample.max_new_tokens = 8;
  sample.stops = {"\n", "."};
  return sample;
}

}  // namespace

Sample MakeFewshot(const SampleSetting& setting, SeededRandom& random) {
  return setting.stories_only ? ClassifyHomes(setting, random) : ClassifyTexts(setting, random);
}

}  // namespace spark
