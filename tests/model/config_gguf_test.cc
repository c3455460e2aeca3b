#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <string>

#include "model/config_load.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_llama.h"

namespace spark {
namespace config_gguf_test {

using test::Bytes;
using test::ExpectError;
using test::GgufWriter;
using test::MakeTinyLlama;

ModelConfig Load(const GgufWriter& writer) {
  const Bytes bytes = writer.ToBytes();
  return ConfigFromGguf(GgufFile::FromMemory(bytes, "test.gguf"));
}

void ExpectRefused(const GgufWriter& writer, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { Load(writer); }, parts);
  ExpectError([&] { Load(writer); }, {"test.gguf: "});
}

TEST_CASE("gguf config: every hyperparameter is read", "[config]") {
  const ModelConfig config = Load(MakeTinyLlama());
  CHECK(config.arch == "llama");
  CHECK(config.name == "tiny");
  CHECK(config.vocab_size == 12);
  CHECK(config.hidden_size == 32);
  CHECK(config.n_layers == 2);
  CHECK(config.n_heads == 4);
  CHECK(config.n_kv_heads == 2);
  CHECK(config.head_dim == 8);
  CHECK(config.intermediate_size == 64);
  CHECK(config.context_length == 128);
  CHECK(config.rms_norm_eps == 1e-5f);
  CHECK(config.rope.style == RopeStyle::kInterleaved);
  CHECK(config.rope.dim == 8);
  CHECK(config.rope.theta == 10000.0f);
  CHECK(config.rope.scaling == RopeScaling::kNone);
}

TEST_CASE("gguf config: defaults of what may be absent", "[config]") {
  GgufWriter writer = MakeTinyLlama({.kv_heads = 4});
  writer.Remove("general.name");
  writer.Remove("llama.attention.head_count_kv");
  writer.Remove("llama.rope.dimension_count");
  const ModelConfig config = Load(writer);
  CHECK(config.name == "test");
  CHECK(config.n_kv_heads == 4);
  CHECK(config.rope.dim == 8);
}

TEST_CASE("gguf config: key and value lengths, frequency base, linear scaling", "[config]") {
  GgufWriter writer = MakeTinyLlama({.head_dim = 16});
  writer.SetU32("llama.attention.key_length", 16);
  writer.SetU32("llama.attention.value_length", 16);
  writer.SetF32("llama.rope.freq_base", 500000.0f);
  writer.SetString("llama.rope.scaling.type", "linear");
  writer.SetF32("llama.rope.scaling.factor", 4.0f);
  const ModelConfig config = Load(writer);
  CHECK(config.head_dim == 16);
  CHECK(config.rope.theta == 500000.0f);
  CHECK(config.rope.scaling == RopeScaling::kLinear);
  CHECK(config.rope.factor == 4.0f);
  writer.Remove("llama.rope.scaling.factor");
  ExpectRefused(writer, {"llama.rope.scaling.factor", "missing"});
  writer.SetString("llama.rope.scaling.type", "yarn");
  ExpectRefused(writer, {"llama.rope.scaling.type", "found \"yarn\"", "none, linear"});
  writer.SetString("llama.rope.scaling.type", "none");
  CHECK(Load(writer).rope.scaling == RopeScaling::kNone);
  writer.SetU32("llama.attention.value_length", 8);
  ExpectRefused(writer, {"value_length", "found 8", "allowed 16"});
}

TEST_CASE("gguf config: a scaling factor without a type is linear", "[config]") {
  for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    GgufWriter writer = MakeTinyLlama();
    writer.SetF32(key, 1.0f);
    CHECK(Load(writer).rope.scaling == RopeScaling::kNone);
    writer.SetF32(key, 2.0f);
    CHECK(Load(writer).rope.scaling == RopeScaling::kLinear);
    CHECK(Load(writer).rope.factor == 2.0f);
    writer.SetString("llama.rope.scaling.type", "none");
    CHECK(Load(writer).rope.scaling == RopeScaling::kNone);
  }
}

TEST_CASE("gguf config: unknown architecture", "[config]") {
  GgufWriter writer = MakeTinyLlama();
  writer.SetString("general.architecture", "mamba");
  ExpectRefused(writer,
                {"general.architecture", "found \"mamba\"", "allowed llama, qwen2, qwen3, gemma2"});
  writer.SetU32("general.architecture", 1);
  ExpectRefused(writer, {"general.architecture", "found u32", "a string"});
  writer.Remove("general.architecture");
  ExpectRefused(writer, {"general.architecture", "missing"});
}

TEST_CASE("gguf config: missing or mis-typed hyperparameters", "[config]") {
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "feed_forward_length",
        "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    const std::string full = std::string("llama.") + key;
    CAPTURE(full);
    GgufWriter writer = MakeTinyLlama();
    writer.Remove(full);
    ExpectRefused(writer, {full, "missing"});
    writer.SetString(full, "2");
    ExpectRefused(writer, {full, "wrong type", "found string"});
    writer.SetInts(full, {2, 2});
    ExpectRefused(writer, {full, "wrong type", "found an array of 2 × i32"});
  }
  GgufWriter writer = MakeTinyLlama();
  writer.SetI32("llama.block_count", -1);
  ExpectRefused(writer, {"llama.block_count", "found -1"});
}

TEST_CASE("gguf config: heads not divisible by KV heads", "[config]") {
  GgufWriter writer = MakeTinyLlama();
  writer.SetU32("llama.attention.head_count_kv", 3);
  ExpectRefused(writer, {"KV heads", "4 heads, 3 KV heads"});
  writer.SetU32("llama.attention.head_count_kv", 8);
  ExpectRefused(writer, {"KV heads", "found 8", "1 to 4"});
}

TEST_CASE("gguf config: token count, vocabulary size and embedding rows must agree", "[config]") {
  GgufWriter writer = MakeTinyLlama();
  writer.SetStrings("tokenizer.ggml.tokens", std::vector<std::string>(12, "x"));
  writer.SetU32("llama.vocab_size", 12);
  CHECK(Load(writer).vocab_size == 12);
  writer.SetStrings("tokenizer.ggml.tokens", std::vector<std::string>(11, "x"));
  ExpectRefused(writer, {"tokenizer.ggml.tokens", "found 11", "allowed 12"});
  writer.SetU32("llama.vocab_size", 13);
  ExpectRefused(writer, {"llama.vocab_size", "found 13", "allowed 12"});
  writer.RemoveTensor("token_embd.weight");
  ExpectRefused(writer, {"token_embd.weight", "missing"});
}

TEST_CASE("gguf config: absurd sizes", "[config]") {
  const auto with = [](const char* key, uint32_t value) {
    GgufWriter writer = MakeTinyLlama();
    writer.SetU32(std::string("llama.") + key, value);
    return writer;
  };
  ExpectRefused(with("block_count", 0), {"layers", "found 0"});
  ExpectRefused(with("block_count", 1'000'000'000), {"layers", "found 1000000000", "1 to 1024"});
  ExpectRefused(with("attention.head_count", 0), {"attention.head_count", "found 0"});
  ExpectRefused(with("attention.head_count", 5), {"does not divide"});
  ExpectRefused(with("attention.head_count_kv", 0), {"KV heads", "found 0"});
  ExpectRefused(with("embedding_length", 0), {"hidden size", "found 0"});
  ExpectRefused(with("embedding_length", 1u << 31), {"hidden size", "found 2147483648"});
  ExpectRefused(with("feed_forward_length", 0), {"intermediate size", "found 0"});
  ExpectRefused(with("feed_forward_length", UINT32_MAX), {"intermediate size"});
  ExpectRefused(with("context_length", 0), {"context length", "found 0"});
  ExpectRefused(with("context_length", UINT32_MAX), {"context length"});
  ExpectRefused(with("rope.dimension_count", 0), {"rope dimensions", "found 0"});
  ExpectRefused(with("rope.dimension_count", 7), {"rope dimensions", "even"});
  ExpectRefused(with("rope.dimension_count", 10), {"rope dimensions", "found 10", "2 to 8"});
  GgufWriter writer = MakeTinyLlama();
  writer.SetScalar("llama.block_count", GgufType::kU64, UINT64_MAX);
  ExpectRefused(writer, {"layers", "found 18446744073709551615"});
}

TEST_CASE("gguf config: odd and huge head dimensions", "[config]") {
  for (const uint32_t dim : {0u, 1u, 7u, 1026u}) {
    GgufWriter writer = MakeTinyLlama();
    writer.SetU32("llama.attention.key_length", dim);
    writer.SetU32("llama.attention.value_length", dim);
    ExpectRefused(writer, {"head dimension", "found " + std::to_string(dim)});
  }
}

TEST_CASE("gguf config: floats that are NaN, infinite, negative or zero", "[config]") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {kNan, kInf, -kInf, -1.0f, 0.0f}) {
    GgufWriter writer = MakeTinyLlama();
    writer.SetF32("llama.attention.layer_norm_rms_epsilon", bad);
    ExpectRefused(writer, {"psilon"});
    writer = MakeTinyLlama();
    writer.SetF32("llama.rope.freq_base", bad);
    ExpectRefused(writer, {"freq"});
    writer = MakeTinyLlama();
    writer.SetString("llama.rope.scaling.type", "linear");
    writer.SetF32("llama.rope.scaling.factor", bad);
    ExpectRefused(writer, {"factor"});
  }
}

TEST_CASE("gguf config: features that would change the result", "[config]") {
  GgufWriter writer = MakeTinyLlama();
  writer.SetU32("llama.expert_count", 8);
  ExpectRefused(writer, {"llama.expert_count", "experts"});
  writer = MakeTinyLlama();
  writer.SetBool("llama.attention.causal", false);
  ExpectRefused(writer, {"llama.attention.causal"});
  writer = MakeTinyLlama();
  writer.SetF32("llama.logit_scale", 2.0f);
  ExpectRefused(writer, {"llama.logit_scale", "not supported"});
}

}  // namespace config_gguf_test
}  // namespace spark
