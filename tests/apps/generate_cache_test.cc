// --save-cache and --load-cache, through the program.
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/support/spark_generate.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace generate_cache_test {

using Args = std::vector<std::string>;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Args Joined(Args args, const Args& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

const std::string kText =
    "The lamp stood on the table, and the cat slept under the chair. The key to the garden lay in "
    "a blue box behind the clock, and nobody but the cook knew that it was there.";

void CheckRefused(const Args& args, const std::string& part) {
  const ProcessResult result = SparkGenerate(args);
  CAPTURE(args, result.err);
  CHECK(result.exit_code == 1);
  CHECK(result.out.empty());
  CHECK(IsOneLine(result.err));
  CHECK(Contains(result.err, part));
}

// A saved context of kText.
std::string Save(const TempDir& dir, const Args& how = {}) {
  const std::string path = dir / "context.cache";
  const ProcessResult result =
      SparkGenerate(Joined({"-p", kText, "-n", "0", "--save-cache", path}, how));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return path;
}

TEST_CASE("a saved context answers as one that was never saved", "[cache]") {
  const TempDir dir;
  const Args asked = {"-q", " Where is the key?", "-q",      " Who slept?", "-n",
                      "24", "--ignore-eos",       "--stats", "json"};
  for (const std::string plan : {"none", "spark:0.8", "think:0.5", "spark:0.8[keep=8,sinks=4]"}) {
    for (const std::string type : {"f16", "q8_0"}) {
      CAPTURE(plan, type);
      // The reference backend computes with every type.
      Args how = {"--kv", plan, "-ctk", type, "-ctv", type};
      const Args run = {"--backend", type == "f16" ? "cpu" : "reference"};
      const std::string path = Save(dir, Joined(how, run));
      const ProcessResult never =
          SparkGenerate(Joined(Joined({"-p", kText}, how), Joined(run, asked)));
      const ProcessResult saved = SparkGenerate(Joined({"--load-cache", path}, Joined(run, asked)));
      INFO(saved.err);
      REQUIRE(never.exit_code == 0);
      REQUIRE(saved.exit_code == 0);
      CHECK(saved.out == never.out);
      const auto want = StatsOf(never);
      const auto have = StatsOf(saved);
      CHECK(have["kv"] == plan);
      CHECK(have["context_tokens"] == want["context_tokens"]);
      CHECK(have["kv_bytes"] == want["kv_bytes"]);
      CHECK(have["prefill_seconds"] == 0);
      // And without a question generation goes on.
      const Args on = {"-n", "16", "--ignore-eos"};
      const auto text = [&](const Args& args) {
        const ProcessResult result = SparkGenerate(Joined(args, Joined(run, on)));
        CHECK(result.exit_code == 0);
        return result.out;
      };
      CHECK(text({"--load-cache", path}) == text(Joined({"-p", kText}, how)));
    }
  }
}

TEST_CASE("logits of a saved context's questions are those of one never saved", "[cache]") {
  const TempDir dir;
  const std::string path = Save(dir);
  const Args question = {"-q", " Where is the key?", "-n", "0"};
  const auto logits = [&](const Args& context, const std::string& name) {
    const std::string file = dir / name;
    Args args = Joined(context, Joined(question, {"--logits-out", file}));
    REQUIRE(SparkGenerate(args).exit_code == 0);
    return ReadText(file);
  };
  CHECK(logits({"--load-cache", path}, "a") == logits({"-p", kText}, "b"));
  CHECK(SparkGenerate({"--load-cache", path, "--logits-out", dir / "c"}).exit_code == 2);
}

TEST_CASE("a prompt beside a saved context has to be the same", "[cache]") {
  const TempDir dir;
  const std::string path = Save(dir);
  const ProcessResult same = SparkGenerate({"--load-cache", path, "-p", kText, "-n", "4"});
  CHECK(same.exit_code == 0);
  CHECK(same.out == SparkGenerate({"--load-cache", path, "-n", "4"}).out);
  CheckRefused({"--load-cache", path, "-p", kText + "!"}, "the prompt is not the context");
  CheckRefused({"--load-cache", path, "-p", "The cat"}, "the prompt is not the context");
  CheckRefused({"--load-cache", path, "-p", "Another"}, "the prompt is not the context");
}

TEST_CASE("a saved context that does not fit the run is refused", "[cache]") {
  const TempDir dir;
  const std::string path = Save(dir, {"--kv", "spark:0.8"});
  CHECK(SparkGenerate({"--load-cache", path, "--kv", "spark:0.8", "-n", "2"}).exit_code == 0);
  CheckRefused({"--load-cache", path, "--kv", "spark:0.7"}, "found spark:0.8, allowed spark:0.7");
  CheckRefused({"--load-cache", path, "-ctk", "f32"}, "found f16, allowed f32");
  CheckRefused({"--load-cache", path, "-ctv", "bf16"}, "found f16, allowed bf16");
  CheckRefused({"--load-cache", path, "-m", TinyModel("llama")}, "saved by another model");
  CheckRefused({"--load-cache", path, "-c", "10"}, "exceed the context size of 10");
  CheckRefused({"--load-cache", dir.Write("text", "no cache")}, "text");
  const std::string model = TinyModel("llama") + "/model.safetensors";
  CheckRefused({"--load-cache", model}, "not a saved context");
  // What differs without changing the cache may differ.
  for (const Args& run : {Args{"-c", "1000"}, Args{"--backend", "reference"}, Args{"-t", "2"},
                          Args{"--decode-interval", "8"}}) {
    CHECK(SparkGenerate(Joined({"--load-cache", path, "-n", "20"}, run)).exit_code == 0);
  }
}

TEST_CASE("a saved context takes the bytes of the compressed cache", "[cache]") {
  const TempDir dir;
  const std::string path = dir / "long.cache";
  const ProcessResult result =
      SparkGenerate({"--kv", "spark:0.8", "-n", "0", "--save-cache", path, "--stats", "json"},
                    {.input = std::string(1500, 'a')});
  REQUIRE(result.exit_code == 0);
  const auto bytes = StatsOf(result)["kv_bytes"]["total"].get<size_t>();
  const size_t size = std::filesystem::file_size(path);
  CAPTURE(bytes, size);
  CHECK(size <= bytes + bytes / 50 + 65536);
  CHECK(size * 100 >= bytes * 90);
  // Nothing else is left behind.
  const std::filesystem::directory_iterator files(dir.path());
  CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("a run that fails leaves a saved context as it was", "[cache]") {
  const TempDir dir;
  const std::string path = Save(dir);
  const std::string before = ReadText(path);
  const ProcessResult result =
      SparkGenerate({"-p", kText, "-c", "5", "-n", "0", "--save-cache", path});
  CHECK(result.exit_code == 1);
  CHECK(ReadText(path) == before);
}

TEST_CASE("the file of a run with passes over its answer holds the context only", "[cache]") {
  const TempDir dir;
  const std::string one = dir / "one";
  const std::string two = dir / "two";
  const Args prompt = {"-p", kText, "-n", "40", "--ignore-eos"};
  CHECK(SparkGenerate(Joined(prompt, {"--save-cache", one})).exit_code == 0);
  CHECK(SparkGenerate(Joined(prompt, {"--save-cache", two, "--decode-interval", "8"})).exit_code ==
        0);
  CHECK(ReadText(one) == ReadText(two));
}

}  // namespace generate_cache_test
}  // namespace spark::test
