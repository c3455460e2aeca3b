// --logits-out against numbers computed with other people's code: tests/data/models/README.md.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "tests/support/spark_generate.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace generate_logits_test {

std::string Joined(std::span<const int64_t> ids) { return fmt::format("{}", fmt::join(ids, ",")); }

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = difference;  // NaN counts as large
  }
  return largest;
}

struct Run {
  std::vector<int64_t> ids;
  std::vector<float> logits;
};

// Evaluates, and reads the file back.
Run Evaluate(std::vector<std::string> args) {
  const TempDir dir;
  const std::string path = dir / "logits.safetensors";
  args.insert(args.end(), {"-n", "0", "--logits-out", path});
  const ProcessResult result = SparkGenerate(args);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.empty());
  const SafetensorsFile file = SafetensorsFile::Open(path);
  const Run run = {file.ReadInts("ids"), file.ReadFloats("logits")};
  const uint64_t n = run.ids.size();
  CHECK(file.Get("ids").type == SafetensorsType::kI32);
  CHECK(file.Get("logits").shape == std::vector<uint64_t>{n, run.logits.size() / n});
  return run;
}

SafetensorsFile Expected(const std::string& model) {
  return SafetensorsFile::Open(TinyModel(model) + "/expected.safetensors");
}

// Logits of `ids` with nothing pruned.
Run EvaluatePrompt(const std::string& model, const std::vector<int64_t>& ids,
                   const std::vector<std::string>& flags) {
  std::vector<std::string> args = {"-m", model, "--prompt-ids", Joined(ids), "--kv", "none"};
  args.insert(args.end(), flags.begin(), flags.end());
  return Evaluate(args);
}

TEST_CASE("logits of a prompt are those of transformers", "[generate][oracle]") {
  for (const char* model : {"llama", "llama-linear-rope", "llama3-rope", "qwen2", "qwen3", "olmo2",
                            "phi3", "smollm3"}) {
    CAPTURE(model);
    const SafetensorsFile expected = Expected(model);
    const std::vector<int64_t> ids = expected.ReadInts("input_ids");
    const std::vector<float> logits = expected.ReadFloats("logits");
    const Run reference = EvaluatePrompt(TinyModel(model), ids, {"--backend", "reference"});
    CHECK(reference.ids == ids);
    CHECK(LargestDifference(reference.logits, logits) < 2e-4);
    const Run cpu = EvaluatePrompt(TinyModel(model), ids, {"--compute", "f32"});
    CHECK(LargestDifference(cpu.logits, logits) < 5e-4);
  }
}

// The logits that came with this model were computed with rotary frequencies rounded to bf16 (with
// that rounding, a NumPy transcript agrees with them to 1e-5; without it, to 0.0372). Ours are not
// rounded, so the test is that bf16 weights give what the same weights in f32 do.
TEST_CASE("logits of bf16 weights are those of the same weights in f32", "[generate][oracle]") {
  const SafetensorsFile expected = Expected("llama-tied-bf16");
  const std::vector<int64_t> ids = expected.ReadInts("input_ids");
  const SafetensorsFile weights =
      SafetensorsFile::Open(TinyModel("llama-tied-bf16") + "/model.safetensors");
  std::vector<SafetensorsWriter::Entry> layout;
  for (const auto& [name, tensor] : weights.tensors()) {
    layout.push_back({name, SafetensorsType::kF32, tensor.shape});
  }
  const TempDir dir;
  SafetensorsWriter writer(dir / "model.safetensors", layout);
  for (const auto& entry : layout) {
    const std::vector<float> values = weights.ReadFloats(entry.name);
    writer.Append(std::as_bytes(std::span(values)));
  }
  writer.Finish();
  std::filesystem::copy(TinyModel("llama-tied-bf16") + "/config.json", dir / "config.json");

  const std::vector<std::vector<std::string>> backends = {{"--backend", "reference"},
                                                          {"--compute", "f32"}};
  for (const auto& flags : backends) {
    const Run bf16 = EvaluatePrompt(TinyModel("llama-tied-bf16"), ids, flags);
    const Run f32 = EvaluatePrompt(dir.path().string(), ids, flags);
    CHECK(LargestDifference(bf16.logits, f32.logits) < 1e-5);
    CHECK(LargestDifference(bf16.logits, expected.ReadFloats("logits")) < 0.04);
  }
}

TEST_CASE("logits behind a compressed context are the authors'", "[generate][oracle]") {
  const SafetensorsFile expected = Expected("llama");
  const std::vector<int64_t> ids = expected.ReadInts("press.input_ids");
  const auto context = static_cast<size_t>(expected.ReadInts("press.context").at(0));
  const auto question = std::span(ids).subspan(context);
  for (const auto& [plan, name] :
       {std::pair{"none", "full"}, std::pair{"spark:0.5", "spark_0.5"},
        std::pair{"spark:0.8", "spark_0.8"}, std::pair{"spark:0.8[recovery=zero]", "spark0_0.8"},
        std::pair{"think:0.5", "think_0.5"}}) {
    for (const char* backend : {"cpu", "reference"}) {
      CAPTURE(plan, backend);
      const Run run =
          Evaluate({"-m", TinyModel("llama"), "--prompt-ids", Joined(std::span(ids).first(context)),
                    "--question-ids", Joined(question), "--kv", plan, "--cache-type-k", "f32",
                    "--cache-type-v", "f32", "--backend", backend, "--compute", "f32"});
      CHECK(std::ranges::equal(run.ids, question));
      const auto logits = expected.ReadFloats(std::string("press.") + name + ".logits");
      CHECK(LargestDifference(run.logits, logits) < 1e-3);
    }
  }
}

TEST_CASE("logits of several questions stand one after the other", "[generate]") {
  const std::vector<std::string> base = {"-m", TinyModel("llama"), "--prompt-ids", "5,6,7,8,9,10"};
  const auto ask = [&](const std::vector<std::string>& questions) {
    std::vector<std::string> args = base;
    for (const std::string& question : questions) {
      args.insert(args.end(), {"--question-ids", question});
    }
    return Evaluate(args);
  };
  const Run one = ask({"11,12"});
  const Run two = ask({"13,14,15"});
  const Run both = ask({"11,12", "13,14,15"});
  CHECK(both.ids == std::vector<int64_t>{11, 12, 13, 14, 15});
  std::vector<float> joined = one.logits;
  joined.insert(joined.end(), two.logits.begin(), two.logits.end());
  CHECK(both.logits == joined);
}

TEST_CASE("a full disk for --logits-out is one clear line", "[generate][robustness]") {
  const ProcessResult result =
      SparkGenerate({"-p", "Once upon a time", "-n", "0", "--logits-out", "/dev/full"});
  CHECK(result.exit_code == 1);
  CHECK(IsOneLine(result.err));
  CHECK(result.err.find("/dev/full") != std::string::npos);
  CHECK(result.err.find("No space left") != std::string::npos);
}

}  // namespace generate_logits_test
}  // namespace spark::test
