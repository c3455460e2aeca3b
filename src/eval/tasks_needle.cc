// Facts such as "The code of the amber falcon is 4821." in a haystack of stories.
#include <fmt/format.h>

#include <algorithm>

#include "eval/haystack.h"
#include "eval/story_tables.h"
#include "eval/task_generated.h"

namespace spark {
namespace {

constexpr size_t kKeys = 4;        // multikey: one is asked for
constexpr size_t kRepeated = 6;    // sentences of passkey's filler
constexpr size_t kCodeDigits = 4;  // the default model has seen no others

struct Fact {
  std::string key;   // "amber falcon"
  std::string code;  // "4821"
};

std::string Statement(const Fact& fact) {
  return "The code of the " + fact.key + " is " + fact.code + ".";
}

std::string Code(SeededRandom& random) {
  std::string code;
  while (code.size() < kCodeDigits) code += static_cast<char>('0' + random.Below(10));
  return code;
}

// Different keys and codes; some keys share their adjective or their animal.
std::vector<Fact> Facts(size_t count, SeededRandom& random) {
  const auto adjectives = random.Sample(story::kAdjectives, count + 1);
  const auto animals = random.Sample(story::kAnimals, count + 1);
  std::vector<Fact> facts;
  while (facts.size() < count) {
    // One draw a statement: compilers evaluate arguments in different orders.
    const std::string_view animal = random.Choose(animals);
    const std::string_view adjective = random.Choose(adjectives);
    Fact fact{fmt::format("{} {}", adjective, animal), Code(random)};
    const auto same = [&fact](const Fact& other) {
      return other.key == fact.key || other.code == fact.code;
    };
    if (std::ranges::none_of(facts, same)) facts.push_back(std::move(fact));
  }
  return facts;
}

double AnyDepth(SeededRandom& random) { return static_cast<double>(random.Below(1001)) / 1000; }

// Models that were not trained on such contexts are told what it is about, as in RULER. (SmolLM2
// did not find a fact at the very beginning without it.)
std::string Intro(const SampleSetting& setting) {
  if (setting.stories_only) return {};
  return "Below is a long text. It mentions some codes; remember them, because you will be asked "
         "for "
         "them.";
}

// Stories around `placed`.
std::string Context(const SampleSetting& setting, std::vector<PlacedFact> placed,
                    SeededRandom& random) {
  HaystackParts parts;
  const story::Shopping shopping(random);
  parts.elastic = [shopping](size_t steps) { return shopping.Sentence(steps); };
  parts.intro = Intro(setting);
  parts.facts = std::move(placed);
  return MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random);
}

std::vector<PlacedFact> PlaceAnywhere(const std::vector<Fact>& facts, SeededRandom& random) {
  std::vector<PlacedFact> placed;
  for (const Fact& fact : facts) placed.push_back({Statement(fact), AnyDepth(random)});
  return placed;
}

// The question is followed by the beginning of its answer: models without a chat format know then
// what is wanted, and the code comes next.
std::string Question(const std::string& key) {
  return fmt::format("\nWhat is the code of the {0}?\nThe code of the {0} is", key);
}

Sample OneCode(std::string context, const Fact& fact, double depth) {
  return {.context = std::move(context),
          .question = Question(fact.key),
          .answers = {fact.code},
          .max_new_tokens = 12,
          .stops = {"\n", "."},
          .depth = depth};
}

// "the A, the B and the C"
std::string Enumerate(const std::vector<Fact>& facts) {
  std::string text;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (i > 0) text += i + 1 == facts.size() ? " and " : ", ";
    text += "the " + facts[i].key;
  }
  return text;
}

// The default model answers one question with one code and ends; so it can get half of two.
size_t CodesAsked(const SampleSetting& setting) { return setting.stories_only ? 2 : 4; }

}  // namespace

Sample MakeNeedle(const SampleSetting& setting, SeededRandom& random) {
  const Fact fact = Facts(1, random)[0];
  return OneCode(Context(setting, {{Statement(fact), setting.depth}}, random), fact, setting.depth);
}

Sample MakeMultikey(const SampleSetting& setting, SeededRandom& random) {
  const std::vector<Fact> facts = Facts(kKeys, random);
  std::vector<PlacedFact> placed = PlaceAnywhere(facts, random);
  const size_t asked = random.Below(facts.size());
  placed[asked].depth = setting.depth;
  return OneCode(Context(setting, std::move(placed), random), facts[asked], setting.depth);
}

Sample MakeMultivalue(const SampleSetting& setting, SeededRandom& random) {
  std::vector<Fact> facts = Facts(CodesAsked(setting), random);
  Sample sample;
  for (Fact& fact : facts) {
    fact.key = facts[0].key;
    sample.answers.push_back(fact.code);
  }
  std::vector<PlacedFact> placed = PlaceAnywhere(facts, random);
  sample.question = Question(facts[0].key);
  if (!setting.stories_only) {
    for (size_t i = 0; i < facts.size(); ++i) {
      placed[i].text = fmt::format("One code of the {} is {}.", facts[i].key, facts[i].code);
    }
    sample.question =
        fmt::format("\nWhat are all the codes of the {0}?\nThe codes of the {0} are", facts[0].key);
  }
  sample.context = Context(setting, std::move(placed), random);
  sample.max_new_tokens = 48;
  sample.stops = {"\n"};
  return sample;
}

Sample MakeMultiquery(const SampleSetting& setting, SeededRandom& random) {
  const std::vector<Fact> facts = Facts(CodesAsked(setting), random);
  Sample sample;
  for (const Fact& fact : facts) sample.answers.push_back(fact.code);
  sample.context = Context(setting, PlaceAnywhere(facts, random), random);
  const std::string keys = Enumerate(facts);
  sample.question =
      setting.stories_only
          ? fmt::format("\nWhat is the code of the {}?{}", facts[1].key, Question(facts[0].key))
          : fmt::format("\nWhat are the codes of {0}?\nThe codes of {0} are", keys);
  sample.max_new_tokens = 48;
  sample.stops = {"\n"};
  return sample;
}

Sample MakePasskey(const SampleSetting& setting, SeededRandom& random) {
  const Fact fact = Facts(1, random)[0];
  const story::Paragraph repeated = story::Notes(random, kRepeated);
  const story::Shopping shopping(random);
  HaystackParts parts;
  parts.filler = [&repeated](SeededRandom&) { return repeated; };
  parts.elastic = [&shopping](size_t steps) { return shopping.Sentence(steps); };
  parts.intro = Intro(setting);
  parts.facts = {{Statement(fact), setting.depth}};
  return OneCode(
      MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random), fact,
      setting.depth);
}

}  // namespace spark
