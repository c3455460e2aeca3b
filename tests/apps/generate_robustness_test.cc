// Point 8 of the first issue: prompts, limits and outputs at their edges.
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "tests/support/spark_generate.h"

namespace spark::test {
namespace generate_robustness_test {

using Args = std::vector<std::string>;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Runs the model inside the program for a few tokens.
nlohmann::ordered_json Stats(const Args& args, const ProcessOptions& options = {}) {
  Args all = {"-n", "4", "--stats", "json", "--ignore-eos"};
  all.insert(all.end(), args.begin(), args.end());
  const ProcessResult result = SparkGenerate(all, options);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return StatsOf(result);
}

TEST_CASE("an empty prompt starts from the model's first token or is refused", "[robustness]") {
  for (const Args& args : {Args{"-p", ""}, Args{"--prompt="}, Args{}}) {
    const ProcessResult result = SparkGenerate(args);  // stdin is empty
    CAPTURE(args, result.err);
    if (result.exit_code == 0) continue;
    CHECK(result.exit_code == 2);
    CHECK(IsOneLine(result.err));
    CHECK(Contains(result.err, "the prompt is empty"));
  }
}

TEST_CASE("a prompt of one token", "[robustness]") {
  for (const char* plan : {"none", "spark:0.5", "spark:0.8[keep=32,sinks=4]", "think:0.5"}) {
    const auto stats = Stats({"--prompt-ids", "65", "--kv", plan});
    CHECK(stats["context_tokens"] == 1);
    CHECK(stats["generated_tokens"] == 4);
  }
}

TEST_CASE("a prompt shorter than the window", "[robustness]") {
  for (const char* plan : {"spark:0.5", "spark:0.5[window=4096]", "think:0.5"}) {
    const auto stats = Stats({"-p", "Once upon a time", "--kv", plan});
    CHECK(stats["context_tokens"] < 32);
    CHECK(stats["generated_tokens"] == 4);
  }
}

TEST_CASE("ratio 0 keeps everything", "[robustness]") {
  const Args args = {"-p", "The lamp stood on the table, and the cat", "-n", "16"};
  const auto text = [&](const std::string& plan) {
    Args all = args;
    all.insert(all.end(), {"--kv", plan});
    const ProcessResult result = SparkGenerate(all);
    CHECK(result.exit_code == 0);
    return result.out;
  };
  const std::string full = text("none");
  CHECK(text("full") == full);
  CHECK(text("spark:0") == full);
  CHECK(text("think:0") == full);
}

TEST_CASE("ratio 0.99 keeps a channel of every key", "[robustness]") {
  const Args prompt = {"-p", "The lamp stood on the table, and the cat slept under the chair."};
  for (const char* plan : {"spark:0.99", "think:0.99"}) {
    Args args = prompt;
    args.insert(args.end(), {"--kv", plan});
    const auto stats = Stats(args);
    CHECK(stats["kv_bytes"]["key_values"] > 0);
    CHECK(stats["generated_tokens"] == 4);
  }
}

TEST_CASE("100,000 identical characters", "[robustness]") {
  const ProcessOptions input{.input = std::string(100000, 'a')};
  const ProcessResult ids = SparkGenerate({"--tokenize"}, input);
  CHECK(ids.exit_code == 0);
  CHECK(nlohmann::json::parse(ids.out).size() > 2048);
  // More than the model's context: said clearly, and at once.
  const ProcessResult result = SparkGenerate({}, input);
  CHECK(result.exit_code == 1);
  CHECK(IsOneLine(result.err));
  CHECK(Contains(result.err, "exceed the context size of"));
  // A text that fits works.
  const auto stats = Stats({}, {.input = std::string(500, 'a')});
  CHECK(stats["generated_tokens"] == 4);
}

TEST_CASE("invalid UTF-8 in a prompt passes through unchanged", "[robustness]") {
  const std::string prompt = "a \xff\xfe b \xe2\x82 c \xc0\x80 d\xed\xa0\x80";
  const ProcessResult result = SparkGenerate({"-p", prompt, "-n", "2"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.starts_with(prompt));
  std::string with_zero = prompt;
  with_zero += std::string("\0x", 2);
  CHECK(SparkGenerate({"-n", "2"}, {.input = with_zero}).out.starts_with(with_zero));
}

TEST_CASE("generation stops where the context is full", "[robustness]") {
  const auto stats = Stats({"--prompt-ids", "65,66,67,68,69,70", "-c", "10", "-n", "100"});
  CHECK(stats["stop_reason"] == "context_full");
  CHECK(stats["generated_tokens"] == 5);  // the last one is drawn, and has no room any more
}

TEST_CASE("a prompt or question that does not fit is one clear line", "[robustness]") {
  for (const Args& args : {Args{"--prompt-ids", "65,66,67,68", "-c", "3"},
                           Args{"--prompt-ids", "65,66", "--question-ids", "67,68", "-c", "3"}}) {
    const ProcessResult result = SparkGenerate(args);
    CHECK(result.exit_code == 1);
    CHECK(IsOneLine(result.err));
    CHECK(Contains(result.err, "exceed the context size of 3"));
  }
  const ProcessResult result = SparkGenerate({"--prompt-ids", "2000000000"});
  CHECK(result.exit_code == 1);
  CHECK(IsOneLine(result.err));
}

TEST_CASE("a stdout that nobody reads ends the run with one line", "[robustness]") {
  const ProcessResult result =
      SparkGenerate({"-p", "Once upon a time", "--stats", "text"}, {.close_stdout = true});
  CHECK(result.exit_code == 1);
  CHECK(IsOneLine(result.err));
  CHECK(Contains(result.err, "cannot write to stdout: Broken pipe"));
}

TEST_CASE("a full disk behind stdout ends the run with one line", "[robustness]") {
  for (const Args& args : {Args{"-p", "Once upon a time"}, Args{"--help"}, Args{"--version"},
                           Args{"--tokenize", "-p", "A"}}) {
    const ProcessResult result = SparkGenerate(args, {.stdout_path = "/dev/full"});
    CHECK(result.exit_code == 1);
    CHECK(IsOneLine(result.err));
    CHECK(Contains(result.err, "No space left"));
  }
}

TEST_CASE("Ctrl-C ends generation with the statistics", "[robustness]") {
  const ProcessResult result = SparkGenerate(
      {"-p", "Once", "-n", "1000000", "-c", "1000000", "--ignore-eos", "--stats", "json"},
      {.signal = SIGINT, .signal_after_bytes = 20});
  CHECK(result.exit_code == 130);
  const auto stats = StatsOf(result);
  CHECK(stats["stop_reason"] == "interrupted");
  CHECK(stats["generated_tokens"] > 0);
  CHECK(stats["generated_tokens"] < 1000000);
  CHECK(result.out.ends_with('\n'));
}

TEST_CASE("Ctrl-C ends the reading of a long prompt, too", "[robustness]") {
  // 60,000 tokens take minutes on the reference backend.
  const ProcessResult result =
      SparkGenerate({"-c", "100000", "--backend", "reference", "--stats", "json"},
                    {.input = std::string(60000, 'a'), .signal = SIGINT, .signal_after_ms = 1500});
  CHECK(result.exit_code == 130);
  const auto stats = StatsOf(result);
  CHECK(stats["stop_reason"] == "interrupted");
  CHECK(stats["generated_tokens"] == 0);
}

}  // namespace generate_robustness_test
}  // namespace spark::test
