// The tiny models of tests/data/models in both of their forms, Hugging Face folder and GGUF,
// against the logits of transformers. scripts/gguf-twins.sh writes the GGUF files.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "spark/session.h"
#include "tests/support/largest_difference.h"

namespace spark {
namespace gguf_twins_test {

const std::string kFolders = SPARK_TEST_DATA "/models/";

// Where NAME.gguf lie.
std::string Twins() {
  const char* variable = std::getenv("SPARK_GGUF_TWINS");
  return std::string(variable ? variable : SPARK_SOURCE_DIR "/.cache/gguf-twins") + "/";
}

bool HaveTwins() { return std::filesystem::exists(Twins() + "llama.gguf"); }

// [ids, vocab], nothing compressed and nothing rounded.
std::vector<float> Logits(const Model& model, const std::vector<TokenId>& ids,
                          const std::string& backend) {
  SessionOptions options;
  options.backend = backend;
  options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.compute_f32 = true;
  options.threads = 1;
  Session session(model, options);
  std::vector<float> logits;
  session.Prefill(ids, {}, [&](size_t, std::span<const float> rows) {
    logits.insert(logits.end(), rows.begin(), rows.end());
  });
  return logits;
}

struct Expected {
  explicit Expected(const std::string& name) {
    const auto file = SafetensorsFile::Open(kFolders + name + "/expected.safetensors");
    const std::vector<int64_t> numbers = file.ReadInts("input_ids");
    ids.assign(numbers.begin(), numbers.end());
    logits = file.ReadFloats("logits");
  }
  std::vector<TokenId> ids;
  std::vector<float> logits;
};

void CheckLogits(const std::string& path, const std::string& name) {
  const Expected expected(name);
  const Model model = Model::Load(path);
  // The numbers of that model are of RoPE frequencies rounded to bf16; ours are not rounded. See
  // tests/apps/generate_logits_test.cc.
  const bool rounded = name == "llama-tied-bf16";
  CHECK(LargestDifference(Logits(model, expected.ids, "reference"), expected.logits) <
        (rounded ? 0.04f : 5e-4f));
  CHECK(LargestDifference(Logits(model, expected.ids, "cpu"), expected.logits) <
        (rounded ? 0.04f : 1e-3f));
}

constexpr const char* kModels[] = {
    "llama",          "llama-linear-rope",
    "llama3-rope",    "llama-tied-bf16",
    "mistral-window", "smollm3",
    "qwen2",          "qwen3",
    "gemma2",         "gemma3",
    "phi3",           "olmo2",
};

TEST_CASE("folders of transformers give its logits", "[twins][oracle]") {
  for (const char* name : kModels) {
    DYNAMIC_SECTION(name) { CheckLogits(kFolders + name, name); }
  }
}

TEST_CASE("GGUF twins give the logits of transformers", "[twins][oracle]") {
  if (!HaveTwins()) SKIP("needs " << Twins() << ": run scripts/gguf-twins.sh");
  for (const char* name : kModels) {
    DYNAMIC_SECTION(name) { CheckLogits(Twins() + name + ".gguf", name); }
  }
}

TEST_CASE("a GGUF that its package has split is the one it has not", "[twins][split]") {
  if (!HaveTwins()) SKIP("needs " << Twins() << ": run scripts/gguf-twins.sh");
  const Model whole = Model::Load(Twins() + "llama.gguf");
  for (const char* part : {"1", "4"}) {
    const Model model =
        Model::Load(Twins() + "llama-split-0000" + part + "-of-00004.gguf", {.validate = true});
    CHECK(model.fingerprint() == whole.fingerprint());
    CHECK(model.info().parameters == whole.info().parameters);
    CHECK(model.info().quantization == "f32");
    const std::vector<TokenId> ids = {5, 6, 7, 8};
    CHECK(Logits(model, ids, "cpu") == Logits(whole, ids, "cpu"));
  }
}

}  // namespace gguf_twins_test
}  // namespace spark
