// Examples of texts with their class; the class of a new one is asked.
#include <fmt/format.h>

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

// Each class once a round, in random order: classes are equally frequent. `turn`: what is left of
// the round.
size_t NextClass(std::vector<size_t>& turn, SeededRandom& random) {
  if (turn.empty()) turn = random.Sample(std::array<size_t, kClasses>{0, 1, 2, 3}, kClasses);
  const size_t next = turn.back();
  turn.pop_back();
  return next;
}

// The class is a colour, so that it can be known from the examples only.
Sample ClassifyTexts(const SampleSetting& setting, SeededRandom& random) {
  const auto labels = random.Sample(kLabels, kClasses);
  const auto text = [](size_t topic, SeededRandom& from) {
    return story::Fill(from.Choose(kTopics[topic].texts), from);
  };
  const size_t asked = random.Below(kClasses);
  const std::string question = text(asked, random);
  std::vector<size_t> turn;
  HaystackParts parts;
  parts.least_filler = kLeastFiller;
  parts.filler = [&](SeededRandom& from) -> story::Paragraph {
    const size_t topic = NextClass(turn, from);
    std::string shown = question;
    while (shown == question) shown = text(topic, from);
    return {Example(shown, labels[topic])};
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

// In sentences of the stories: the animal decides where somebody lives, and the adjective of the
// one asked for is in no example.
Sample ClassifyHomes(const SampleSetting& setting, SeededRandom& random) {
  const auto adjectives = random.Sample(story::kAdjectives, story::kAdjectives.size());
  const auto animals = random.Sample(story::kAnimals, kClasses);
  const auto kinds = random.Sample(story::kPlaceKinds, kClasses);
  const auto places = random.Sample(story::kPlaces, kClasses);
  const auto home = [&](size_t i) { return fmt::format("{} {}", kinds[i], places[i]); };
  const size_t asked = random.Below(kClasses);
  std::vector<size_t> turn;
  HaystackParts parts;
  parts.least_filler = kLeastFiller;
  parts.filler = [&](SeededRandom& from) -> story::Paragraph {
    const size_t topic = NextClass(turn, from);
    const std::string_view adjective = adjectives[1 + from.Below(adjectives.size() - 1)];
    return {fmt::format("The {} {} lives in the {}.", adjective, animals[topic], home(topic))};
  };
  const story::Shopping shopping(random);
  parts.elastic = [&](size_t steps) { return shopping.Sentence(steps); };
  Sample sample;
  sample.context =
      MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random);
  sample.question = fmt::format("\nWhere does the {0} {1} live?\nThe {0} {1} lives in the",
                                adjectives[0], animals[asked]);
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
