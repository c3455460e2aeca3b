// What each architecture says of a model, in both kinds of file.
#include "model/config_architecture.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "io/json.h"
#include "model/config_load.h"
#include "model/model_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_architecture.h"

namespace spark {
namespace config_architecture_test {

using test::Bytes;
using test::ExpectError;
using test::GgufWriter;
using test::WithArchitecture;

ModelConfig Load(const GgufWriter& writer) {
  const Bytes bytes = writer.ToBytes();
  return ConfigFromGguf(GgufFile::FromMemory(bytes, "test.gguf"));
}

ModelConfig FromFolder(const std::string& name) {
  const std::string path = SPARK_TEST_DATA "/models/" + name + "/config.json";
  return ConfigFromHuggingFace(ParseJsonFile(path), path).model;
}

// A letter a layer: w(indow), g(lobal); upper case where RoPE is that of windows, . where it is not
// there at all.
std::string Pattern(const ModelConfig& config) {
  std::string pattern;
  for (const LayerConfig& layer : config.layers) {
    const char letter = layer.window != 0 ? 'w' : 'g';
    const bool local = layer.rope == LayerConfig::Rope::kLocal;
    pattern += local ? static_cast<char>(letter - 'a' + 'A') : letter;
    if (layer.rope == LayerConfig::Rope::kNone) pattern += '.';
  }
  return pattern;
}

TEST_CASE("architectures: GGUF rotates in pairs for llama and smollm3 only", "[config]") {
  for (const Architecture& architecture : Architectures()) {
    const std::string name(architecture.name);
    CAPTURE(name);
    const ModelConfig config = Load(WithArchitecture(name));
    CHECK(config.arch == name);
    CHECK((config.rope.style == RopeStyle::kInterleaved) == (name == "llama" || name == "smollm3"));
    CHECK(config.layers.size() == 2);
    CHECK(config.stored_norm_offset == 0);
  }
}

TEST_CASE("architectures: what distinguishes them", "[config]") {
  const auto config = [](const char* name) { return Load(WithArchitecture(name)); };
  CHECK(config("qwen2").qkv_bias);
  CHECK_FALSE(config("qwen2").attn_output_bias);
  CHECK(config("qwen3").qk_norm == QkNorm::kHead);
  CHECK_FALSE(config("olmo2").pre_norms);
  CHECK(config("olmo2").post_norms);
  CHECK(config("olmo2").qk_norm == QkNorm::kWhole);
  const ModelConfig gemma2 = config("gemma2");
  CHECK((gemma2.pre_norms && gemma2.post_norms));
  CHECK(gemma2.activation == Activation::kGeluTanh);
  CHECK(gemma2.embedding_scale == std::sqrt(32.0f));
  CHECK(gemma2.attention_softcap == 50);
  CHECK(gemma2.final_softcap == 30);
  const ModelConfig gemma3 = config("gemma3");
  CHECK(gemma3.attention_softcap == 0);
  CHECK(gemma3.final_softcap == 0);
  CHECK(gemma3.qk_norm == QkNorm::kHead);
}

TEST_CASE("architectures: windows and rotations of GGUF layers", "[config]") {
  const auto with_window = [](const char* name, uint32_t window) {
    GgufWriter writer = WithArchitecture(name, {.layers = 8});
    writer.SetU32(std::string(name) + ".attention.sliding_window", window);
    return writer;
  };
  CHECK(Pattern(Load(with_window("llama", 16))) == "wwwwwwww");
  CHECK(Pattern(Load(with_window("phi3", 16))) == "wwwwwwww");
  CHECK(Pattern(Load(with_window("phi3", 0))) == "gggggggg");
  CHECK(Pattern(Load(with_window("gemma2", 16))) == "wgwgwgwg");
  CHECK(Pattern(Load(WithArchitecture("gemma3", {.layers = 8}))) == "gggggggg");
  CHECK(Pattern(Load(WithArchitecture("smollm3", {.layers = 8}))) == "gggg.gggg.");

  GgufWriter writer = with_window("gemma3", 16);
  writer.SetF32("gemma3.rope.freq_base", 1e6f);
  writer.SetString("gemma3.rope.scaling.type", "linear");
  writer.SetF32("gemma3.rope.scaling.factor", 8.0f);
  const ModelConfig config = Load(writer);
  CHECK(Pattern(config) == "WWWWWgWW");
  CHECK(config.layers[0].window == 16);
  CHECK(config.rope.theta == 1e6f);
  CHECK(config.rope.factor == 8.0f);
  CHECK(config.local_rope.theta == 10000.0f);
  CHECK(config.local_rope.scaling == RopeScaling::kNone);
  CHECK(config.local_rope.style == RopeStyle::kHalfSplit);
  writer.SetF32("gemma3.rope.freq_base_swa", 5000.0f);
  CHECK(Load(writer).local_rope.theta == 5000.0f);
  writer.SetF32("gemma3.rope.freq_base_swa", -1.0f);
  ExpectError([&] { Load(writer); }, {"test.gguf", "rope base frequency", "found -1"});
  // A window that never slides is none, but the layer keeps its rotation.
  CHECK(Pattern(Load(with_window("gemma3", 128))) == "GGGGGgGG");
}

TEST_CASE("architectures: the pattern of windows as a key", "[config]") {
  GgufWriter writer = WithArchitecture("gemma3", {.layers = 3});
  writer.SetU32("gemma3.attention.sliding_window", 16);
  const std::string key = "gemma3.attention.sliding_window_pattern";
  writer.SetU32(key, 2);
  CHECK(Pattern(Load(writer)) == "WgW");
  const auto set = [&](const std::vector<uint8_t>& windows) {
    writer.SetArray<uint8_t>(key, GgufType::kBool, windows);
  };
  set({0, 1, 1});
  CHECK(Pattern(Load(writer)) == "gWW");
  set({0, 1});
  ExpectError([&] { Load(writer); }, {key, "found 2 elements", "3 × bool"});
  writer.SetInts(key, {0, 1, 1});
  ExpectError([&] { Load(writer); }, {key, "3 × bool"});
}

TEST_CASE("architectures: scales of GGUF models", "[config]") {
  CHECK(Load(WithArchitecture("gemma2", {.layers = 3, .head_dim = 8})).attention_scale == 0);
  GgufWriter writer = WithArchitecture("gemma2", {.layers = 46, .head_dim = 16});  // as in 27B
  writer.SetU32("gemma2.attention.key_length", 16);
  writer.SetU32("gemma2.attention.value_length", 16);
  CHECK(Load(writer).attention_scale == 1 / std::sqrt(32.0f / 4));
  writer.SetF32("gemma2.attn_logit_softcapping", 20);
  writer.SetF32("gemma2.final_logit_softcapping", 10);
  CHECK(Load(writer).attention_softcap == 20);
  CHECK(Load(writer).final_softcap == 10);
  for (const float bad : {-1.0f, 1e9f, std::numeric_limits<float>::quiet_NaN()}) {
    writer.SetF32("gemma2.final_logit_softcapping", bad);
    ExpectError([&] { Load(writer); }, {"test.gguf", "oft"});
  }
}

TEST_CASE("architectures: GGUF keys that would change the result", "[config]") {
  const auto refuse = [](const char* name, const char* key, float value) {
    GgufWriter writer = WithArchitecture(name);
    const std::string full = std::string(name) + "." + key;
    writer.SetF32(full, value);
    ExpectError([&] { Load(writer); }, {"test.gguf", full, "not supported"});
  };
  refuse("llama", "attn_logit_softcapping", 50);
  refuse("qwen3", "final_logit_softcapping", 30);
  refuse("gemma3", "attention.scale", 0.1f);
  refuse("phi3", "rope.scaling.attn_factor", 1.19f);
  GgufWriter writer = WithArchitecture("qwen2");
  writer.SetU32("qwen2.attention.sliding_window", 64);
  ExpectError([&] { Load(writer); }, {"qwen2.attention.sliding_window", "found 64"});
  writer = WithArchitecture("phi3");
  writer.AddZeros("rope_factors_long.weight", DType::kF32, {4});
  ExpectError([&] { Load(writer); }, {"rope_factors_long.weight", "LongRoPE is not supported"});
  writer = WithArchitecture("gemma3");
  writer.SetU32("gemma3.attention.key_length_swa", 16);
  ExpectError([&] { Load(writer); }, {"gemma3.attention.key_length_swa", "two sizes"});
}

TEST_CASE("architectures: folders of transformers", "[config]") {
  CHECK(Pattern(FromFolder("mistral-window")) == "www");
  CHECK(FromFolder("mistral-window").arch == "llama");
  CHECK(FromFolder("mistral-window").layers[0].window == 24);
  CHECK(Pattern(FromFolder("gemma2")) == "wgw");
  CHECK(FromFolder("gemma2").attention_scale == 0.25f);
  CHECK(FromFolder("gemma2").stored_norm_offset == 1);
  CHECK(FromFolder("gemma2").attention_softcap == 50);
  const ModelConfig gemma3 = FromFolder("gemma3");
  CHECK(Pattern(gemma3) == "WWWWWgW");
  CHECK(gemma3.rope.theta == 1e6f);
  CHECK(gemma3.local_rope.theta == 1e4f);
  CHECK(gemma3.final_softcap == 0);
  CHECK(Pattern(FromFolder("smollm3")) == "gggg.");
  CHECK(FromFolder("smollm3").rope.theta == 2e6f);
  CHECK(FromFolder("qwen2").qkv_bias);
  CHECK(FromFolder("qwen3").head_dim == 32);
  CHECK_FALSE(FromFolder("olmo2").pre_norms);
  CHECK(Pattern(FromFolder("phi3")) == "ggg");
}

}  // namespace config_architecture_test
}  // namespace spark
