// What spark-generate prints, and its statistics.
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "tests/support/spark_generate.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace generate_text_test {

using Args = std::vector<std::string>;

constexpr const char* kPrompt = "Once upon a time there was a small fox.";

// Arguments for a short run over kPrompt.
Args Short(const Args& more) {
  Args args = {"-p", kPrompt, "-n", "12", "--ignore-eos"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

std::string Output(const Args& args, const ProcessOptions& options = {}) {
  const ProcessResult result = SparkGenerate(args, options);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return result.out;
}

std::vector<std::string> Keys(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST_CASE("the prompt stands in front of the text, unless that is switched off", "[generate]") {
  const std::string with = Output(Short({}));
  const std::string without = Output(Short({"--no-display-prompt"}));
  CHECK(with == kPrompt + without);
  CHECK(without.size() > 1);
  CHECK(without.ends_with('\n'));
}

TEST_CASE("a prompt may come from a file or from stdin", "[generate]") {
  const TempDir dir;
  const std::string expected = Output(Short({}));
  const std::string text = std::string(kPrompt) + "\n";  // one line break at the end is dropped
  CHECK(Output({"-f", dir.Write("p.txt", text), "-n", "12", "--ignore-eos"}) == expected);
  CHECK(Output({"-n", "12", "--ignore-eos"}, {.input = text}) == expected);
}

TEST_CASE("the same seed gives the same text", "[generate]") {
  const auto draw = [](const char* seed) {
    return Output(Short({"--temp", "1.5", "--seed", seed, "--top-k", "0", "--top-p", "1"}));
  };
  CHECK(draw("7") == draw("7"));
  CHECK(draw("7") != draw("8"));
}

TEST_CASE("each of several questions is answered as if asked alone", "[generate]") {
  const Args questions = {" Where did the fox live?", " What did the fox eat?", ""};
  const auto ask = [](const Args& texts) {
    Args args = Short({"--temp", "0.8", "--repeat-penalty", "1.1", "--no-display-prompt"});
    for (const std::string& text : texts) args.insert(args.end(), {"-q", text});
    return Output(args);
  };
  std::string alone;
  for (const std::string& question : questions) alone += ask({question});
  CHECK(ask(questions) == alone);
}

TEST_CASE("questions are shown in front of their answers, the context once", "[generate]") {
  const std::string one = Output(Short({"-q", " Why?", "--no-display-prompt"}));
  const std::string two = Output(Short({"-q", " Who?", "--no-display-prompt"}));
  CHECK(Output(Short({"-q", " Why?", "-q", " Who?"})) ==
        std::string(kPrompt) + " Why?" + one + " Who?" + two);
}

TEST_CASE("flag --stop ends before a text that spans tokens", "[generate]") {
  const std::string full = Output(Short({"--no-display-prompt"}));
  REQUIRE(full.size() > 12);
  const std::string stop = full.substr(full.size() / 2, 5);
  const ProcessResult result =
      SparkGenerate(Short({"--no-display-prompt", "--stop", stop, "--stats", "json"}));
  CHECK(result.out == full.substr(0, full.find(stop)) + "\n");
  CHECK(StatsOf(result)["stop_reason"] == "stop_text");
}

TEST_CASE("flag -n 0 evaluates and prints nothing", "[generate]") {
  const ProcessResult result =
      SparkGenerate({"-p", kPrompt, "-q", " Why?", "-n", "0", "--stats", "json"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.empty());
  const auto stats = StatsOf(result);
  CHECK(stats["generated_tokens"] == 0);
  CHECK(stats["context_tokens"] > 0);
  CHECK(stats["question_tokens"] > 0);
  CHECK(stats["kv_bytes"]["dense_tail"] > 0);
}

TEST_CASE("a model without a tokenizer writes ids", "[generate]") {
  const Args args = {"-m", TinyModel("llama"), "--prompt-ids", "5,6,7", "-n", "4"};
  const std::string text = Output(args);
  CHECK(text.starts_with("5 6 7 "));
  CHECK(std::count(text.begin(), text.end(), ' ') == 6);
  const ProcessResult refused = SparkGenerate({"-m", TinyModel("llama"), "-p", "text"});
  CHECK(refused.exit_code == 2);
  CHECK(IsOneLine(refused.err));
}

TEST_CASE("flag --stats json has the documented keys", "[generate]") {
  const ProcessResult result = SparkGenerate(Short({"--stats", "json", "--seed", "5"}));
  const auto stats = StatsOf(result);
  CHECK(Keys(stats) == Args{"model",
                            "arch",
                            "parameters",
                            "quantization",
                            "backend",
                            "simd_target",
                            "threads",
                            "kv",
                            "context_tokens",
                            "question_tokens",
                            "generated_tokens",
                            "stop_reason",
                            "load_seconds",
                            "prefill_seconds",
                            "compress_seconds",
                            "decode_seconds",
                            "prefill_tokens_per_second",
                            "decode_tokens_per_second",
                            "peak_rss_bytes",
                            "kv_bytes",
                            "kv_bytes_dense_f16",
                            "seed",
                            "version"});
  CHECK(Keys(stats["kv_bytes"]) == Args{"key_values", "key_masks", "key_signs", "key_scalars",
                                        "values", "dense_tail", "total"});
  CHECK(stats["kv"] == "spark:0.5");
  CHECK(stats["backend"] == "cpu");
  CHECK(stats["threads"] == 1);
  CHECK(stats["generated_tokens"] == 12);
  CHECK(stats["stop_reason"] == "length");
  CHECK(stats["seed"] == 5);
  CHECK(stats["decode_tokens_per_second"] > 0);
  size_t sum = 0;
  for (const auto& [key, value] : stats["kv_bytes"].items()) {
    if (key != "total") sum += value.get<size_t>();
  }
  CHECK(stats["kv_bytes"]["total"] == sum);
}

TEST_CASE("pruning makes the measured cache smaller", "[generate]") {
  std::string prompt;
  for (int i = 0; i < 12; ++i) prompt += kPrompt;
  const auto total = [&](const char* plan) {
    const ProcessResult result =
        SparkGenerate({"-p", prompt, "-n", "0", "--kv", plan, "--stats", "json"});
    return StatsOf(result)["kv_bytes"]["total"].get<size_t>();
  };
  CHECK(total("spark:0.8") < total("spark:0.5"));
  CHECK(total("spark:0.5") < total("none"));
}

TEST_CASE("statistics are text by default and absent on request", "[generate]") {
  CHECK(SparkGenerate(Short({})).err.empty());
  const ProcessResult result = SparkGenerate(Short({"--stats", "text"}));
  CHECK(result.err.find("tokens/s") != std::string::npos);
  CHECK(result.err.find("kv cache  spark:0.5") != std::string::npos);
}

TEST_CASE("a context size beyond the trained one is warned about", "[generate]") {
  CHECK(IsOneLine(SparkGenerate(Short({"-c", "100000"})).err));
}

TEST_CASE("a conversation answers each line, in one cache", "[generate]") {
  const ProcessResult result = SparkGenerate({"--conversation", "-n", "4", "--stats", "json"},
                                             {.input = "Once there was a fox.\nAnd then?"});
  CHECK(result.exit_code == 0);
  CHECK(std::count(result.out.begin(), result.out.end(), '\n') >= 2);
  const auto stats = StatsOf(result);
  CHECK(stats["context_tokens"] > 0);
  CHECK(stats["question_tokens"] > 0);
  // The first turn may be the prompt; no turn at all is no error.
  CHECK(SparkGenerate({"--conversation", "-p", "Once", "-n", "2"}).exit_code == 0);
  CHECK(SparkGenerate({"--conversation", "-n", "2"}).out.empty());
}

TEST_CASE("Ctrl-C ends a conversation that waits for a turn", "[generate]") {
  const ProcessResult result = SparkGenerate(
      {"--conversation", "-n", "2", "--ignore-eos", "--stats", "json"}, {.input = "Once\n",
                                                                         .keep_input_open = true,
                                                                         .signal = SIGINT,
                                                                         .signal_after_bytes = 1,
                                                                         .signal_after_ms = 500});
  CHECK(result.exit_code == 130);
  CHECK(StatsOf(result)["stop_reason"] == "interrupted");
}

}  // namespace generate_text_test
}  // namespace spark::test
