// A chain of variables, each of which gets its value from the one before.
#include <fmt/format.h>

#include <algorithm>

#include "eval/haystack.h"
#include "eval/story_tables.h"
#include "eval/task_generated.h"

namespace spark {
namespace {

constexpr size_t kVariables = 5;  // RULER: one chain of four hops

std::string VariableName(SeededRandom& random) {
  std::string name;
  while (name.size() < 3) name += static_cast<char>('A' + random.Below(26));
  return name;
}

// `count` depths in rising order.
std::vector<double> RisingDepths(size_t count, SeededRandom& random) {
  std::vector<size_t> thousandths;
  for (size_t i = 0; i < count; ++i) thousandths.push_back(random.Below(1001));
  std::ranges::sort(thousandths);
  std::vector<double> depths;
  for (const size_t depth : thousandths) depths.push_back(static_cast<double>(depth) / 1000);
  return depths;
}

std::string Context(const SampleSetting& setting, const std::vector<std::string>& chain,
                    bool in_lines, SeededRandom& random) {
  const story::Shopping shopping(random);
  HaystackParts parts;
  parts.elastic = [&shopping](size_t steps) { return shopping.Sentence(steps); };
  parts.facts_in_lines = in_lines;
  const std::vector<double> depths = RisingDepths(chain.size(), random);
  for (size_t i = 0; i < chain.size(); ++i) parts.facts.push_back({chain[i], depths[i]});
  return MakeHaystack(setting.task, setting.tokenizer, setting.context_tokens, parts, random);
}

// In sentences of the stories, two hops: a model that follows one of them gets half. The default
// model was trained to answer one question of one hop, so it can hardly get more.
Sample TrackHomes(const SampleSetting& setting, SeededRandom& random) {
  // One draw a statement: compilers evaluate arguments in different orders.
  const std::string_view kind = random.Choose(story::kAnimals);
  const std::string animal = fmt::format("{} {}", random.Choose(story::kAdjectives), kind);
  const auto kinds = random.Sample(story::kPlaceKinds, 2);
  const auto places = random.Sample(story::kPlaces, 2);
  const std::string home = fmt::format("{} {}", kinds[0], places[0]);
  const std::string around = fmt::format("{} {}", kinds[1], places[1]);
  const std::vector<std::string> chain = {fmt::format("The {} lives in the {}.", animal, home),
                                          fmt::format("The {} is in the {}.", home, around)};
  Sample sample;
  sample.context = Context(setting, chain, false, random);
  sample.question = fmt::format("\nWhere does the {0} live?\nThe {0} lives in the", animal);
  sample.answers = {home, around};
  sample.max_new_tokens = 24;
  sample.stops = {"\n"};
  return sample;
}

}  // namespace

Sample MakeVariableTracking(const SampleSetting& setting, SeededRandom& random) {
  if (setting.stories_only) return TrackHomes(setting, random);
  std::vector<std::string> names;
  while (names.size() < kVariables) {
    std::string name = VariableName(random);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  const size_t value = 10'000 + random.Below(90'000);
  std::vector<std::string> chain = {fmt::format("VAR {} = {}", names[0], value)};
  for (size_t i = 1; i < names.size(); ++i) {
    chain.push_back(fmt::format("VAR {} = VAR {}", names[i], names[i - 1]));
  }
  Sample sample;
  sample.context = Context(setting, chain, true, random);
  sample.question = fmt::format(
      "\nQuestion: Which {0} variables (VAR) have the value {1}, directly or through another "
      "variable?\nAnswer: The {0} variables that have the value {1} are:",
      kVariables, value);
  sample.answers = std::move(names);
  sample.max_new_tokens = 48;
  sample.stops = {"\n\n"};
  return sample;
}

}  // namespace spark
