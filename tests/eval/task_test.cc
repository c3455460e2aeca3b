// Generated tasks: what they promise about length, depth and answers.
#include "eval/task.h"

#include <algorithm>
#include <array>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/hash.h"
#include "eval/haystack.h"
#include "eval/task_generated.h"
#include "tests/support/expect_error.h"
#include "tests/support/real_model.h"

namespace spark {
namespace task_test {

const Model& DefaultModel() {
  static const Model model = Model::LoadEmbedded();
  return model;
}

constexpr std::array<std::pair<const char*, MakeSample>, 9> kMakers = {{
    {"needle", MakeNeedle},
    {"multikey", MakeMultikey},
    {"multivalue", MakeMultivalue},
    {"multiquery", MakeMultiquery},
    {"passkey", MakePasskey},
    {"vt", MakeVariableTracking},
    {"cwe", MakeCommonWords},
    {"fwe", MakeFrequentWords},
    {"fewshot", MakeFewshot},
}};

// A sample for the default model, or as other models get it, in tokens of the default model.
Sample Make(MakeSample make, bool stories_only, size_t context_tokens, uint64_t seed,
            double depth = 0.5) {
  SeededRandom random(seed);
  return make({.task = "test",
               .tokenizer = *DefaultModel().tokenizer(),
               .context_tokens = context_tokens,
               .depth = depth,
               .stories_only = stories_only},
              random);
}

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

uint64_t Hash(const std::vector<Sample>& samples) {
  Fnv1a hash;
  for (const Sample& sample : samples) {
    hash.Add(sample.context);
    hash.Add(sample.question);
    for (const std::string& answer : sample.answers) hash.Add(answer);
  }
  return hash.value();
}

TEST_CASE("Tasks are made by name", "[eval][task]") {
  for (const auto& [name, make] : kMakers) {
    const auto task = MakeTask(name);
    CHECK(task->name() == name);
    CHECK(task->metric() == (task->name() == "fewshot" ? MetricKind::kExact : MetricKind::kRecall));
  }
  CHECK(TaskNames().size() == kMakers.size() + 1);
  CHECK(ListTasks().back().name == "jsonl:FILE");
  for (const char* wrong : {"needles", "", "nll", "speed", "jsonl", "jsonl:"}) {
    test::ExpectError([&] { MakeTask(wrong); }, {"--task", "no such task", "needle", "jsonl:FILE"});
  }
}

TEST_CASE("The same request gives the same samples", "[eval][task]") {
  for (const auto& [name, make] : kMakers) {
    CAPTURE(name);
    const auto task = MakeTask(name);
    const SampleRequest request{.n_samples = 3, .context_tokens = 256, .seed = 11};
    const uint64_t once = Hash(task->Samples(request, DefaultModel()));
    CHECK(once == Hash(MakeTask(name)->Samples(request, DefaultModel())));
    SampleRequest other = request;
    other.seed = 12;
    CHECK(once != Hash(task->Samples(other, DefaultModel())));
    other = request;
    other.context_tokens = 300;
    CHECK(once != Hash(task->Samples(other, DefaultModel())));
    const auto samples = task->Samples(request, DefaultModel());
    CHECK(samples.size() == 3);
    CHECK(samples[0].context != samples[1].context);
  }
}

// Fails when samples change on purpose, too: results of earlier sweeps don't compare then.
TEST_CASE("Samples are the same on every machine", "[eval][task]") {
  Fnv1a all;
  for (const auto& [name, make] : kMakers) {
    const SampleRequest request{.n_samples = 2, .context_tokens = 256, .seed = 1};
    all.Add(Hash(MakeTask(name)->Samples(request, DefaultModel())));
    all.Add(Hash({Make(make, false, 256, 1)}));
  }
  CHECK(all.value() == 12439376981649951375u);
}

TEST_CASE("Contexts are as long as asked for, and never longer", "[eval][task]") {
  for (const auto& [name, make] : kMakers) {
    for (const bool stories_only : {true, false}) {
      for (const size_t length : {300, 511, 1024}) {
        for (uint64_t seed = 0; seed < 4; ++seed) {
          const Sample sample = Make(make, stories_only, length, seed);
          const size_t tokens = CountTokens(*DefaultModel().tokenizer(), sample.context);
          CAPTURE(name, stories_only, length, seed, sample.context);
          CHECK(tokens <= length);
          CHECK(tokens + 10 >= length);  // one made-up word, or a further animal
        }
      }
    }
  }
}

TEST_CASE("Answers stand in the context, with room to say them", "[eval][task]") {
  for (const auto& [name, make] : kMakers) {
    for (const bool stories_only : {true, false}) {
      for (uint64_t seed = 0; seed < 5; ++seed) {
        const Sample sample = Make(make, stories_only, 400, seed);
        CAPTURE(name, stories_only, seed, sample.context, sample.question);
        REQUIRE_FALSE(sample.answers.empty());
        size_t tokens = 0;
        for (const std::string& answer : sample.answers) {
          CHECK(sample.context.find(answer) != std::string::npos);
          CHECK(sample.question.find(answer) == std::string::npos);
          tokens += CountTokens(*DefaultModel().tokenizer(), " " + answer);
        }
        CHECK(tokens <= sample.max_new_tokens);
        CHECK(sample.question.starts_with("\n"));
        CHECK_FALSE(sample.question.ends_with(" "));
        CHECK_FALSE(sample.stops.empty());
        const MetricKind metric = MakeTask(name)->metric();
        std::string said;
        for (const std::string& answer : sample.answers) said += " " + answer;
        CHECK(Score(metric, said, sample.answers) == 1);
        CHECK(Score(metric, "", sample.answers) == 0);
      }
    }
  }
}

TEST_CASE("Facts stand at their depth", "[eval][task]") {
  const Tokenizer& tokenizer = *DefaultModel().tokenizer();
  for (const MakeSample make : {MakeNeedle, MakeMultikey, MakePasskey}) {
    for (size_t tenth = 0; tenth <= 10; ++tenth) {
      const double depth = static_cast<double>(tenth) / 10;
      const Sample sample = Make(make, true, 600, tenth, depth);
      CHECK(sample.depth == depth);
      const std::string& context = sample.context;
      const std::string key = sample.question.substr(sample.question.find("\nThe code of") + 1);
      const std::string fact = key + " " + sample.answers[0] + ".";
      CAPTURE(context, fact, depth);
      REQUIRE(Occurrences(context, fact) == 1);
      CHECK(Occurrences(context, key) == 1);  // no other code for it
      const auto before =
          static_cast<double>(CountTokens(tokenizer, context.substr(0, context.find(fact))));
      const auto rest =
          static_cast<double>(CountTokens(tokenizer, context) - CountTokens(tokenizer, fact));
      // Half the longest sentence, and the other facts of multikey.
      const double slack = make == MakeMultikey ? 45 : 16;
      CHECK(std::abs(before - depth * rest) <= slack);
      if (depth == 0 && make != MakeMultikey) CHECK(before <= 1);
      if (depth == 1 && make != MakeMultikey) CHECK(context.ends_with(fact));
    }
  }
}

TEST_CASE("An intro stands in front of the facts", "[eval][task]") {
  for (const MakeSample make : {MakeNeedle, MakePasskey}) {
    const Sample sample = Make(make, false, 400, 1, 0);
    CAPTURE(sample.context);
    CHECK(sample.context.starts_with("Below is a long text."));
    const size_t line = sample.context.find('\n') + 1;
    CHECK(sample.context.find("The code of the ") == line);
  }
}

TEST_CASE("Depths are spread evenly", "[eval][task]") {
  CHECK(EvenDepth(0, 1) == 0.5);
  CHECK(EvenDepth(0, 2) == 0);
  CHECK(EvenDepth(1, 2) == 1);
  CHECK(EvenDepth(1, 3) == 0.5);
  for (const size_t n : {4, 11, 20, 22, 100}) {
    std::map<double, size_t> counts;
    for (size_t i = 0; i < n; ++i) {
      const double depth = EvenDepth(i, n);
      ++counts[depth];
      CHECK(std::abs(depth * 10 - std::round(depth * 10)) < 1e-9);
      if (i > 0) CHECK(depth >= EvenDepth(i - 1, n));
    }
    CHECK(counts.begin()->first == 0);
    CHECK(counts.rbegin()->first == 1);
    CHECK(counts.size() == std::min<size_t>(n, 11));
    size_t fewest = n;
    size_t most = 0;
    for (const auto& [depth, count] : counts) {
      fewest = std::min(fewest, count);
      most = std::max(most, count);
    }
    CHECK(most - fewest <= 1);
  }
}

TEST_CASE("multivalue and multiquery state all that they ask for", "[eval][task]") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Sample values = Make(MakeMultivalue, false, 512, seed);
    CHECK(std::set(values.answers.begin(), values.answers.end()).size() == 4);
    CHECK(Occurrences(values.context, "One code of the ") == 4);
    const Sample queries = Make(MakeMultiquery, false, 512, seed);
    CHECK(queries.answers.size() == 4);
    CHECK(Occurrences(queries.context, "The code of the ") == 4);
    CHECK(Make(MakeMultivalue, true, 512, seed).answers.size() == 2);
    CHECK(Make(MakeMultiquery, true, 512, seed).answers.size() == 2);
  }
}

TEST_CASE("vt can be answered by following its chain", "[eval][task]") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Sample sample = Make(MakeVariableTracking, false, 400, seed);
    CAPTURE(sample.context, sample.question);
    std::istringstream lines(sample.context);
    std::map<std::string, std::string> values;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("VAR ")) continue;
      const std::string source = line.substr(10);  // "VAR ABC = "
      const bool copied = source.starts_with("VAR ");
      if (copied) REQUIRE(values.contains(source.substr(4)));  // assigned before it is used
      values[line.substr(4, 3)] = copied ? values[source.substr(4)] : source;
    }
    CHECK(values.size() == 5);
    for (const std::string& name : sample.answers) {
      CHECK(sample.question.find(values.at(name)) != std::string::npos);
    }
  }
}

// Words of the last line, without numbers of a list.
std::map<std::string, size_t> WordCounts(const std::string& context) {
  std::istringstream words(context.substr(context.rfind('\n')));
  std::map<std::string, size_t> counts;
  for (std::string word; words >> word;) {
    if (!word.ends_with('.')) ++counts[word];
  }
  return counts;
}

TEST_CASE("cwe and fwe ask for the words that stand there most", "[eval][task]") {
  for (const MakeSample make : {MakeCommonWords, MakeFrequentWords}) {
    for (const size_t length : {250, 300, 400, 1000, 4000}) {
      for (uint64_t seed = 0; seed < 3; ++seed) {
        const Sample sample = Make(make, false, length, seed);
        const auto counts = WordCounts(sample.context);
        CAPTURE(length, sample.context);
        size_t fewest_asked = SIZE_MAX;
        for (const std::string& answer : sample.answers) {
          fewest_asked = std::min(fewest_asked, counts.at(answer));
        }
        for (const auto& [word, count] : counts) {
          if (std::ranges::find(sample.answers, word) != sample.answers.end()) continue;
          CAPTURE(word);
          CHECK(count < fewest_asked);
        }
      }
    }
  }
}

TEST_CASE("fewshot shows every class, and not the text that is asked", "[eval][task]") {
  for (const size_t length : {128, 600}) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const Sample sample = Make(MakeFewshot, false, length, seed);
      CAPTURE(sample.context, sample.question);
      for (const char* label : {"red", "blue", "green", "yellow"}) {
        CHECK(sample.context.find(std::string("\nColor: ") + label) != std::string::npos);
      }
      const std::string text = sample.question.substr(1, sample.question.rfind('\n'));
      CHECK(sample.context.find(text) == std::string::npos);
    }
  }
}

TEST_CASE("fewshot in stories: the animal tells the home", "[eval][task]") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Sample sample = Make(MakeFewshot, true, 300, seed);
    // "\nThe quiet fox lives in the"
    std::istringstream words(sample.question.substr(sample.question.rfind('\n')));
    std::string the, adjective, animal;
    words >> the >> adjective >> animal;
    CAPTURE(sample.context, sample.question);
    CHECK(sample.context.find(adjective + " " + animal) == std::string::npos);
    std::istringstream lines(sample.context);
    size_t examples = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find(" " + animal + " lives") == line.npos) continue;
      CHECK(line.ends_with(" lives in the " + sample.answers[0] + "."));
      ++examples;
    }
    CHECK(examples >= 2);
  }
}

TEST_CASE("vt in stories: the home of the home", "[eval][task]") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Sample sample = Make(MakeVariableTracking, true, 300, seed);
    CAPTURE(sample.context);
    const std::string first =
        sample.question.substr(sample.question.rfind('\n') + 1) + " " + sample.answers[0] + ".";
    const std::string second = "The " + sample.answers[0] + " is in the " + sample.answers[1] + ".";
    CHECK(sample.context.find(first) != std::string::npos);
    CHECK(sample.context.find(second) != std::string::npos);
  }
}

TEST_CASE("Contexts that are too short are refused", "[eval][task]") {
  for (const auto& [name, make] : kMakers) {
    const auto task = MakeTask(name);
    for (const size_t length : {0, 1, 20}) {
      test::ExpectError(
          [&] { task->Samples({.n_samples = 1, .context_tokens = length}, DefaultModel()); },
          {name, "too short", "tokens", "and more"});
    }
  }
}

TEST_CASE("Samples for SmolLM2 are as long as asked for", "[eval][task]") {
  if (!testing::SmolLm2Path()) SKIP("no SmolLM2: run scripts/get-model.sh smollm2");
  const Model model = Model::Load(testing::SmolLm2Path().value());
  CHECK_FALSE(KnowsStoriesOnly(model));
  CHECK(KnowsStoriesOnly(DefaultModel()));
  for (const auto& [name, make] : kMakers) {
    for (const Sample& sample :
         MakeTask(name)->Samples({.n_samples = 3, .context_tokens = 700, .seed = 2}, model)) {
      const size_t tokens = CountTokens(*model.tokenizer(), sample.context);
      CAPTURE(name, sample.context);
      CHECK(tokens <= 700);
      CHECK(tokens + 10 >= 700);
    }
  }
}

}  // namespace task_test
}  // namespace spark
