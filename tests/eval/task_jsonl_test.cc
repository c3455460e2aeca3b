// People's own data, and files that nobody vouches for.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/haystack.h"
#include "eval/task.h"
#include "spark/prompt.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace task_jsonl_test {

using Answers = std::vector<std::string>;

const Model& DefaultModel() {
  static const Model model = Model::LoadEmbedded();
  return model;
}

std::vector<Sample> Read(const std::string& lines, const SampleRequest& request = {}) {
  const test::TempDir folder;
  return MakeTask("jsonl:" + folder.Write("data.jsonl", lines))->Samples(request, DefaultModel());
}

MetricKind MetricOf(const std::string& lines, const std::string& option = "") {
  const test::TempDir folder;
  return MakeTask("jsonl:" + folder.Write("data.jsonl", lines) + option)->metric();
}

TEST_CASE("jsonl reads context, question and answers", "[eval][task]") {
  const auto samples =
      Read(R"({"context": "It is red.", "question": "Which color?", "answers": ["red", "Red"]})"
           "\n\n"
           R"({"context": "It is 4.\n", "question": "How many?", "answer": "4",)"
           R"( "answer_prefix": "There are", "max_new_tokens": 3, "extra": [1, {"a": null}]})");
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].context == "It is red.");
  CHECK(samples[0].question == "\nWhich color?\nAnswer:");
  CHECK(samples[0].answers == Answers{"red", "Red"});
  CHECK(samples[0].stops.empty());
  CHECK_FALSE(samples[0].depth.has_value());
  CHECK(samples[1].question == "How many?\nThere are");
  CHECK(samples[1].answers == Answers{"4"});
  CHECK(samples[1].max_new_tokens == 3);
}

TEST_CASE("jsonl reads LongBench's names", "[eval][task]") {
  const auto samples =
      Read(R"({"context": "Text: x Type: A", "input": "Text: y Type:", "answers": ["A"],)"
           R"( "all_classes": ["A", "B"], "answer_prefix": "", "length": 4, "_id": "1"})");
  CHECK(samples[0].question == "\nText: y Type:");
  CHECK(samples[0].stops == Answers{"\n"});
  const std::string summary =
      R"({"context": "A report.", "input": "", "answers": ["short"], "all_classes": null})";
  CHECK(Read(summary)[0].question.empty());
  CHECK(MetricOf(summary) == MetricKind::kF1);
}

TEST_CASE("jsonl reads RULER's names", "[eval][task]") {
  const std::string line =
      R"({"index": 0, "input": "Text.\nMore text.\nWhat is it?\n", "outputs": ["1", "2"],)"
      R"( "answer_prefix": " It is", "length": 9})";
  const auto samples = Read(line);
  CHECK(samples[0].context == "Text.\nMore text.");
  CHECK(samples[0].question == "\nWhat is it? It is");
  CHECK(samples[0].answers == Answers{"1", "2"});
  CHECK(MetricOf(line) == MetricKind::kRecall);
}

TEST_CASE("jsonl: the metric is the option's, the line's, or the usual one", "[eval][task]") {
  const std::string begin = R"({"context": "c", "question": "q", "answers": ["a"])";
  CHECK(MetricOf(begin + "}") == MetricKind::kF1);
  CHECK(MetricOf(begin + R"(, "metric": "rouge_l"})") == MetricKind::kRougeL);
  CHECK(MetricOf(begin + R"(, "metric": "rouge_l"})", "[metric=exact]") == MetricKind::kExact);
  CHECK(MetricOf(begin + R"(, "all_classes": ["a", "b"]})") == MetricKind::kExact);
  test::ExpectError([&] { MetricOf(begin + R"(, "metric": "bleu"})"); },
                    {"data.jsonl: line 1", "metric", "'bleu'", "edit_similarity"});
  test::ExpectError([&] { MetricOf(begin + "}\n" + begin + R"(, "metric": "exact"})"); },
                    {"line 2", "one metric", "exact", "f1", "line 1"});
  test::ExpectError([&] { MetricOf(begin + "}", "[metric=bleu]"); }, {"jsonl", "'bleu'"});
  test::ExpectError([&] { MetricOf(begin + "}", "[metrics=f1]"); }, {"jsonl", "'metrics=f1'"});
}

TEST_CASE("jsonl: wrong lines are named", "[eval][task]") {
  const std::string fine = R"({"context": "c", "question": "q", "answers": ["a"]})";
  const auto expect = [&](const std::string& line, std::initializer_list<std::string_view> parts) {
    CAPTURE(line);
    test::ExpectError([&] { Read(fine + "\n" + line + "\n"); }, {"data.jsonl: line 2"});
    test::ExpectError([&] { Read(fine + "\n" + line + "\n"); }, parts);
  };
  expect("{", {"offset"});
  expect("[1]", {"not an object", "array"});
  expect(R"({"context": "c")", {"offset"});
  expect(R"({"context": "c", "context": "d"})", {"context"});
  expect("{\"context\": \"\xFF\"}", {"offset"});
  expect(R"({"question": "q", "answers": ["a"]})", {"context", "missing"});
  expect(R"({"context": "c", "answers": ["a"]})", {"question", "missing"});
  expect(R"({"context": 7, "question": "q", "answers": ["a"]})", {"context", "number"});
  expect(R"({"context": "", "question": "q", "answers": ["a"]})", {"context", "nothing"});
  expect(R"({"context": "c", "question": "q"})", {"answers", "missing"});
  expect(R"({"context": "c", "question": "q", "answers": []})", {"answers", "one or more"});
  expect(R"({"context": "c", "question": "q", "answers": [1]})", {"answers", "number"});
  expect(R"({"context": "c", "question": "q", "answers": [""]})", {"answers", "empty"});
  expect(R"({"context": "c", "question": "q", "answers": {"a": 1}})", {"answers", "object"});
  expect(R"({"context": "c", "question": "q", "answers": ["a"], "max_new_tokens": 0})",
         {"max_new_tokens", "found 0", "1 to"});
  expect(R"({"context": "c", "question": "q", "answers": ["a"], "max_new_tokens": 1e99})",
         {"max_new_tokens"});
  expect(R"({"context": "c", "question": "q", "answers": ["a"], "all_classes": "A"})",
         {"all_classes"});
  expect(R"({"input": "one line", "outputs": ["a"]})", {"input", "one line"});
  expect(R"({"input": ["x"], "outputs": ["a"]})", {"input", "array"});
  expect(R"({"input": "", "outputs": ["a"]})", {"input"});
  expect(R"({"context": "c", "question": "q", "answers": [")" + std::string(70'000, 'x') + "\"]}",
         {"answers", "too long"});
  expect(std::string(100'000, '['), {"offset"});
}

TEST_CASE("jsonl: files that are none are refused", "[eval][task]") {
  const test::TempDir folder;
  test::ExpectError([&] { MakeTask("jsonl:" + folder / "none.jsonl"); }, {"none.jsonl"});
  test::ExpectError([&] { MakeTask("jsonl:" + folder.Write("empty", "")); }, {"empty"});
  test::ExpectError([&] { MakeTask("jsonl:" + folder.Write("blank", "\n \n")); },
                    {"blank", "no lines"});
}

TEST_CASE("jsonl: some lines are chosen by the seed, in order", "[eval][task]") {
  std::string lines;
  for (int i = 10; i < 60; ++i) {
    lines += R"({"context": "c", "question": "q", "answers": [")" + std::to_string(i) + "\"]}\r\n";
  }
  const auto chosen = [&](size_t n, uint64_t seed) {
    std::vector<std::string> answers;
    for (const Sample& sample : Read(lines, {.n_samples = n, .seed = seed})) {
      answers.push_back(sample.answers[0]);
    }
    return answers;
  };
  CHECK(chosen(0, 1).size() == 50);
  CHECK(chosen(80, 1).size() == 50);
  const auto some = chosen(10, 1);
  CHECK(some.size() == 10);
  CHECK(std::ranges::is_sorted(some));
  CHECK(std::ranges::adjacent_find(some) == some.end());
  CHECK(some == chosen(10, 1));
  CHECK(some != chosen(10, 2));
}

TEST_CASE("jsonl: long contexts lose their middle", "[eval][task]") {
  std::string context = "Begin here.";
  for (int i = 0; i < 300; ++i) context += " The mill was öpen on Monday.";
  context += " It ends.";
  const std::string line =
      R"({"context": ")" + context + R"(", "question": "q", "answers": ["a"]})";
  for (const size_t length : {16, 101, 1000}) {
    const std::string cut = Read(line, {.context_tokens = length})[0].context;
    const size_t tokens = CountTokens(*DefaultModel().tokenizer(), cut);
    CHECK(tokens <= length);
    CHECK(tokens + 6 >= length);
    CHECK(cut.starts_with("Begin here."));
    CHECK(cut.ends_with("It ends."));
    CHECK(nlohmann::json(cut).dump().size() > 0);  // throws for half a character
  }
  CHECK(Read(line, {.context_tokens = 100'000})[0].context == context);
  CHECK(Read(line)[0].context == context);
}

}  // namespace task_jsonl_test
}  // namespace spark
