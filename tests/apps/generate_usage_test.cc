// What spark-generate accepts, refuses and tells about itself.
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "tests/support/spark_generate.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace generate_usage_test {

using Args = std::vector<std::string>;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Refused before anything is computed: one line that contains `message`, nothing on stdout.
void CheckRefused(const Args& args, int exit_code, const std::string& message) {
  const ProcessResult result = SparkGenerate(args);
  CAPTURE(args, result.out, result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(result.out.empty());
  CHECK(IsOneLine(result.err));
  CHECK(Contains(result.err, message));
}

TEST_CASE("flag --help lists the flags in groups, with defaults", "[generate]") {
  const ProcessResult result = SparkGenerate({"--help"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  for (const char* part :
       {"Model and prompt:", "Generation:", "Chat:", "KV cache:", "Run:", "Output:",
        "(default: 128)", "(default: spark:0.5)", "(default: 0.95)", "--model", "--question-ids",
        "--repeat-last-n", "--cache-type-v", "--logits-out", "--no-mmap", "--simd-target"}) {
    CAPTURE(part);
    CHECK(Contains(result.out, part));
  }
}

TEST_CASE("flag --version, --list-kv-methods and --list-simd-targets print and stop",
          "[generate]") {
  const ProcessResult version = SparkGenerate({"--version"});
  CHECK(version.exit_code == 0);
  CHECK(version.out.starts_with("spark-generate "));
  const ProcessResult methods = SparkGenerate({"--list-kv-methods"});
  CHECK(Contains(methods.out, "spark"));
  CHECK(Contains(methods.out, "think"));
  const ProcessResult targets = SparkGenerate({"--list-simd-targets"});
  CHECK(Contains(targets.out, "SCALAR"));
  CHECK(SparkGenerate({"--simd-target", "scalar", "-p", "A", "-n", "2"}).exit_code == 0);
  CheckRefused({"--simd-target", "MMX", "-p", "A"}, 2, "MMX");
}

TEST_CASE("numbers that are not finite or not in range are refused", "[generate][robustness]") {
  for (const char* number :
       {"nan", "NaN", "inf", "-inf", "1e999", "-1", "", "x", "0.5x", "0x1p3"}) {
    CheckRefused({"-p", "A", "--temp", number}, 2, "--temp");
  }
  CheckRefused({"-p", "A", "--top-p", "1.01"}, 2, "--top-p");
  CheckRefused({"-p", "A", "--min-p=nan"}, 2, "--min-p");
  CheckRefused({"-p", "A", "--repeat-penalty", "0"}, 2, "--repeat-penalty");
  for (const char* number : {"-1", "nan", "1.5", "1e3", "99999999999999999999", "", " 1"}) {
    CheckRefused({"-p", "A", "-n", number}, 2, "--predict");
    CheckRefused({"-p", "A", "--ctx-size", number}, 2, "--ctx-size");
    CheckRefused({"-p", "A", "--seed", number}, 2, "--seed");
  }
  CheckRefused({"-p", "A", "--threads", "0"}, 2, "allowed 1 to 1024");
  CheckRefused({"-p", "A", "--batch-size", "0"}, 2, "allowed 1 to 65536");
  CheckRefused({"-p", "A", "--batch-size", "65537"}, 2, "allowed 1 to 65536");
}

TEST_CASE("pruning ratio 1, nan and others out of range are refused", "[generate][robustness]") {
  for (const char* plan : {"spark:1", "spark:1.0", "spark:nan", "spark:inf", "spark:-0.1", "spark:",
                           "spark", "think:1", "think:nan", "nonsense:0.5", "", "spark:0.5[",
                           "spark:0.5[window=0]", "spark:0.5[recovery=magic]", "spark:0.5x"}) {
    CheckRefused({"-p", "A", "--kv", plan}, 2, "--kv");
  }
}

TEST_CASE("flags that do not exist or are incomplete are refused", "[generate]") {
  CheckRefused({"--no-such-flag"}, 2, "no-such-flag");
  CheckRefused({"-p", "A", "-Z"}, 2, "-Z");
  CheckRefused({"stray"}, 2, "stray");
  CheckRefused({"-p"}, 2, "--prompt");
  CheckRefused({"-p", "A", "-f", "x"}, 2, "only one of");
  CheckRefused({"-p", "A", "--prompt-ids", "1"}, 2, "only one of");
  CheckRefused({"-p", "A", "-q", "x", "--question-ids", "1"}, 2, "only one of");
  CheckRefused({"-p", "A", "--chat-template", "chatml", "--no-chat-template"}, 2, "only one of");
  CheckRefused({"-p", "A", "--stats", "xml"}, 2, "allowed text, json, none");
  CheckRefused({"-p", "A", "--backend", "tpu"}, 2, "allowed cpu, reference, cuda");
  CheckRefused({"-p", "A", "--compute", "f8"}, 2, "allowed auto, f32");
  CheckRefused({"-p", "A", "-ctk", "f8"}, 2, "--cache-type-k");
  CheckRefused({"-p", "A", "--stop", ""}, 2, "stop");
  CheckRefused({"--prompt-ids", "1,x"}, 2, "--prompt-ids");
  CheckRefused({"--conversation", "-q", "A"}, 2, "--conversation");
  CheckRefused({"--conversation", "--load-cache", "x"}, 2, "--conversation");
  CheckRefused({"--load-cache", "x", "--logits-out", "y"}, 2, "--logits-out needs a question");
  CheckRefused({"-p", "A", "--system-prompt", "B"}, 2, "--chat-template");  // the model has none
}

TEST_CASE("a GPU that is not there is refused with one line", "[generate]") {
  const ProcessResult list = SparkGenerate({"--list-devices"});
  if (list.exit_code == 0) SKIP("there is a GPU");
  const bool built_with_cuda = !Contains(list.err, "no CUDA backend");
  const std::string message = built_with_cuda ? "no GPU to compute on" : "-DSPARK_CUDA=ON";
  CheckRefused({"--list-devices"}, 1, message);
  CheckRefused({"-p", "A", "--backend", "cuda"}, 1, message);
}

TEST_CASE("missing and unusable files fail with one line", "[generate]") {
  const TempDir dir;
  CheckRefused({"-p", "A", "-m", dir / "none.gguf"}, 1, "none.gguf");
  CheckRefused({"-p", "A", "-m", dir.path().string()}, 1, "config.json");
  CheckRefused({"-f", dir / "none.txt"}, 1, "none.txt");
  CheckRefused({"-f", dir.path().string()}, 1, dir.path().string());
  CheckRefused({"-p", "A", "-m", dir.Write("bad.gguf", "no model")}, 1, "bad.gguf");
  CheckRefused({"--load-cache", dir / "none.cache"}, 1, "none.cache");
  CheckRefused({"-p", "A", "--save-cache", dir / "none/x.cache"}, 1, "none/x.cache");
  CheckRefused({"-p", "A", "--logits-out", dir / "none/x.safetensors"}, 1, "none/x.safetensors");
  CheckRefused({"-p", "A", "--chat-template", dir / "none.jinja"}, 1, "none.jinja");
}

TEST_CASE("long names take _ for -, and values are left alone", "[generate]") {
  const ProcessResult result =
      SparkGenerate({"--prompt", "--ctx_size", "-n", "1", "--ctx_size", "64", "-ctk", "bf16",
                     "--cache_type_v=f32", "--repeat_last_n", "4"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.starts_with("--ctx_size"));
}

TEST_CASE("flag --tokenize prints ids as JSON, --render-chat the text of a chat", "[generate]") {
  const ProcessResult ids = SparkGenerate({"--tokenize", "-p", "Once upon a time"});
  CHECK(ids.exit_code == 0);
  CHECK(nlohmann::json::parse(ids.out).size() >= 1);
  const ProcessResult chat =
      SparkGenerate({"--render-chat", "--chat-template", "chatml", "-p", "A story. ", "-q", "Who?",
                     "--system-prompt", "Be\\nkind.", "-e"});
  CHECK(chat.exit_code == 0);
  CHECK(chat.out ==
        "<|im_start|>system\nBe\nkind.<|im_end|>\n<|im_start|>user\nA story. Who?<|im_end|>\n"
        "<|im_start|>assistant\n");
  CheckRefused({"--render-chat", "-p", "A"}, 2, "--chat-template");  // the model has none
}

TEST_CASE("flag --dry-run prints the memory plan", "[generate]") {
  const ProcessResult result = SparkGenerate({"--dry-run", "-c", "1024", "--kv", "spark:0.8"});
  CHECK(result.exit_code == 0);
  for (const char* part : {"weights", "KV cache, 1024 tokens", "key masks", "dense f16", "total"}) {
    CHECK(Contains(result.out, part));
  }
}

}  // namespace generate_usage_test
}  // namespace spark::test
