#include "model/weights_load.h"

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <string>

#include "base/half.h"
#include "model/config_load.h"
#include "model/model_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_architecture.h"

namespace spark {
namespace weights_load_test {

using test::Bytes;
using test::ExpectError;
using test::GgufWriter;
using test::MakeTinyLlama;
using test::WithArchitecture;

// The weights are views of `bytes`.
Weights Load(const Bytes& bytes) {
  const GgufFile file = GgufFile::FromMemory(bytes, "test.gguf");
  return LoadWeights(ConfigFromGguf(file), file.tensors(), TensorNames::kGguf,
                     TiedOutput::kIfAbsent, "test.gguf");
}

void ExpectRefused(const GgufWriter& writer, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { Load(writer.ToBytes()); }, parts);
  ExpectError([&] { Load(writer.ToBytes()); }, {"test.gguf: tensor "});
}

TEST_CASE("weights: matrices and vectors by role", "[weights]") {
  const Bytes bytes = MakeTinyLlama().ToBytes();
  const Weights weights = Load(bytes);
  CHECK(weights.token_embedding.rows == 12);
  CHECK(weights.token_embedding.cols == 32);
  CHECK(weights.output.data != weights.token_embedding.data);
  CHECK(weights.output_norm == std::vector<float>(32, 1.0f));
  CHECK(weights.rope_divisors.empty());
  REQUIRE(weights.layers.size() == 2);
  for (const LayerWeights& layer : weights.layers) {
    CHECK((layer.wq.rows == 32 && layer.wq.cols == 32));
    CHECK((layer.wk.rows == 16 && layer.wk.cols == 32));
    CHECK((layer.wv.rows == 16 && layer.wv.cols == 32));
    CHECK((layer.wo.rows == 32 && layer.wo.cols == 32));
    CHECK((layer.w_gate.rows == 64 && layer.w_gate.cols == 32));
    CHECK((layer.w_up.rows == 64 && layer.w_up.cols == 32));
    CHECK((layer.w_down.rows == 32 && layer.w_down.cols == 64));
    CHECK(layer.attn_norm.size() == 32);
    CHECK(layer.ffn_norm.size() == 32);
    CHECK((layer.wq.data >= bytes.data() && layer.wq.data < bytes.data() + bytes.size()));
  }
}

TEST_CASE("weights: without output.weight the token embedding is used", "[weights]") {
  const Bytes bytes = MakeTinyLlama({.own_output = false}).ToBytes();
  const Weights weights = Load(bytes);
  CHECK(weights.output.data == weights.token_embedding.data);
  CHECK(weights.output.rows == 12);
}

TEST_CASE("weights: a quantised token embedding can be the output, too", "[weights]") {
  for (const DType type : kAllDTypes) {
    GgufWriter writer = MakeTinyLlama({.hidden = 256, .head_dim = 64, .own_output = false});
    writer.RemoveTensor("token_embd.weight");
    writer.AddZeros("token_embd.weight", type, {12, 256});
    const Bytes bytes = writer.ToBytes();
    const Weights weights = Load(bytes);
    CHECK(weights.output.type == type);
    CHECK(weights.output.data == weights.token_embedding.data);
  }
}

TEST_CASE("weights: matrices keep their type, norms become f32", "[weights]") {
  GgufWriter writer = MakeTinyLlama();
  writer.RemoveTensor("blk.1.ffn_down.weight");
  writer.AddZeros("blk.1.ffn_down.weight", DType::kQ4_0, {32, 64});
  for (const DType type : {DType::kF16, DType::kBF16}) {
    const auto half = type == DType::kF16 ? static_cast<uint16_t>(ToF16(0.5f))
                                          : static_cast<uint16_t>(ToBF16(0.5f));
    Bytes norm;
    for (int i = 0; i < 32; ++i) test::Put(norm, half);
    writer.RemoveTensor("output_norm.weight");
    writer.Add("output_norm.weight", type, {32}, norm);
    const Bytes bytes = writer.ToBytes();
    const Weights weights = Load(bytes);
    CHECK(weights.layers[1].w_down.type == DType::kQ4_0);
    CHECK(weights.output_norm == std::vector<float>(32, 0.5f));
  }
  writer.RemoveTensor("output_norm.weight");
  writer.AddZeros("output_norm.weight", DType::kQ8_0, {32});
  ExpectRefused(writer, {"output_norm.weight", "found q8_0", "f32, f16, bf16"});
}

TEST_CASE("weights: missing tensor", "[weights]") {
  for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight",
                           "blk.1.attn_k.weight", "blk.0.attn_v.weight", "blk.1.attn_output.weight",
                           "blk.0.ffn_norm.weight", "blk.1.ffn_gate.weight", "blk.0.ffn_up.weight",
                           "blk.1.ffn_down.weight", "token_embd.weight"}) {
    GgufWriter writer = MakeTinyLlama();
    writer.RemoveTensor(name);
    ExpectRefused(writer, {name, "missing"});
  }
}

TEST_CASE("weights: mis-shaped tensor", "[weights]") {
  GgufWriter writer = MakeTinyLlama();
  writer.At("blk.0.attn_k.weight").shape = {32, 16};
  ExpectRefused(writer, {"blk.0.attn_k.weight", "found [32, 16]", "allowed [16, 32]"});
  writer = MakeTinyLlama();
  writer.At("blk.1.ffn_norm.weight").shape = {1, 32};
  ExpectRefused(writer, {"blk.1.ffn_norm.weight", "found [1, 32]", "allowed [32]"});
  writer = MakeTinyLlama();
  writer.At("output.weight").shape = {12 * 32};
  ExpectRefused(writer, {"output.weight", "found [384]", "allowed [12, 32]"});
  writer = MakeTinyLlama();
  writer.At("token_embd.weight").shape = {12, 16, 2};
  ExpectRefused(writer, {"token_embd.weight"});
}

TEST_CASE("weights: layers that the hyperparameters do not have, and the reverse", "[weights]") {
  GgufWriter writer = MakeTinyLlama();
  writer.SetU32("llama.block_count", 1);
  ExpectRefused(writer, {"blk.1.", "not a tensor of a llama model"});
  writer.SetU32("llama.block_count", 1024);
  ExpectRefused(writer, {"blk.2.attn_norm.weight", "missing"});
}

TEST_CASE("weights: biases and unknown tensors are refused by name", "[weights]") {
  for (const char* name : {"blk.1.attn_q.bias", "output.bias", "blk.0.attn_q_norm.weight", "x"}) {
    GgufWriter writer = MakeTinyLlama();
    writer.AddZeros(name, DType::kF32, {32});
    ExpectRefused(writer, {name, "not a tensor of a llama model"});
  }
}

TEST_CASE("weights: biases are in all layers or in none", "[weights]") {
  GgufWriter writer = MakeTinyLlama();
  const auto add = [&](const std::string& stem, uint64_t n, float value) {
    for (const char* layer : {"blk.0.", "blk.1."}) {
      writer.AddFloats(layer + stem + ".bias", {n}, std::vector<float>(n, value));
    }
  };
  add("attn_q", 32, 1);
  ExpectRefused(writer, {"blk.0.attn_k.bias", "missing"});
  add("attn_k", 16, 2);
  add("attn_v", 16, 3);
  add("attn_output", 32, 4);
  add("ffn_gate", 64, 5);
  add("ffn_up", 64, 6);
  add("ffn_down", 32, 7);
  const Bytes bytes = writer.ToBytes();
  const Weights weights = Load(bytes);
  for (const LayerWeights& layer : weights.layers) {
    CHECK(layer.bq == std::vector<float>(32, 1));
    CHECK(layer.bk == std::vector<float>(16, 2));
    CHECK(layer.bv == std::vector<float>(16, 3));
    CHECK(layer.bo == std::vector<float>(32, 4));
    CHECK(layer.b_gate == std::vector<float>(64, 5));
    CHECK(layer.b_up == std::vector<float>(64, 6));
    CHECK(layer.b_down == std::vector<float>(32, 7));
  }
  writer.RemoveTensor("blk.1.ffn_up.bias");
  ExpectRefused(writer, {"blk.1.ffn_up.bias", "missing"});
}

TEST_CASE("weights: fused matrices are views of their rows", "[weights]") {
  GgufWriter writer = WithArchitecture("phi3");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* stem : {"attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"}) {
      writer.RemoveTensor(layer + stem + ".weight");
    }
    writer.AddZeros(layer + "attn_qkv.weight", DType::kQ4_0, {32 + 16 + 16, 32});
    writer.AddZeros(layer + "ffn_up.weight", DType::kF16, {2 * 64, 32});
    std::vector<float> bias(64, 1.0f);
    std::fill(bias.begin() + 32, bias.end(), 2.0f);
    std::fill(bias.begin() + 48, bias.end(), 3.0f);
    writer.AddFloats(layer + "attn_qkv.bias", {64}, bias);
  }
  const Bytes bytes = writer.ToBytes();
  const Weights weights = Load(bytes);
  const LayerWeights& layer = weights.layers[1];
  constexpr size_t kQ4Row = 18, kF16Row = 64;  // bytes of 32 elements
  CHECK((layer.wq.rows == 32 && layer.wq.cols == 32 && layer.wq.type == DType::kQ4_0));
  CHECK((layer.wk.rows == 16 && layer.wk.data == layer.wq.data + 32 * kQ4Row));
  CHECK((layer.wv.rows == 16 && layer.wv.data == layer.wk.data + 16 * kQ4Row));
  CHECK((layer.w_gate.rows == 64 && layer.w_up.rows == 64));
  CHECK(layer.w_up.data == layer.w_gate.data + 64 * kF16Row);
  CHECK(layer.bq == std::vector<float>(32, 1));
  CHECK(layer.bk == std::vector<float>(16, 2));
  CHECK(layer.bv == std::vector<float>(16, 3));
  writer.At("blk.1.attn_qkv.weight").shape = {63, 32};
  ExpectRefused(writer, {"blk.1.attn_q.weight", "missing"});
}

TEST_CASE("weights: norms as far as the architecture has them", "[weights]") {
  GgufWriter writer = WithArchitecture("olmo2");
  ExpectRefused(writer, {"blk.0.attn_q_norm.weight", "missing"});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    writer.AddFloats(layer + "attn_q_norm.weight", {32}, std::vector<float>(32, 2));
    writer.AddFloats(layer + "attn_k_norm.weight", {16}, std::vector<float>(16, 3));
    writer.AddFloats(layer + "post_attention_norm.weight", {32}, std::vector<float>(32, 4));
    writer.AddFloats(layer + "post_ffw_norm.weight", {32}, std::vector<float>(32, 5));
  }
  ExpectRefused(writer, {"blk.0.attn_norm.weight", "not a tensor of a olmo2 model"});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    writer.RemoveTensor(layer + "attn_norm.weight");
    writer.RemoveTensor(layer + "ffn_norm.weight");
  }
  const Bytes bytes = writer.ToBytes();
  const Weights weights = Load(bytes);
  const LayerWeights& layer = weights.layers[1];
  CHECK((layer.attn_norm.empty() && layer.ffn_norm.empty()));
  CHECK(layer.q_norm == std::vector<float>(32, 2));
  CHECK(layer.k_norm == std::vector<float>(16, 3));
  CHECK(layer.attn_post_norm == std::vector<float>(32, 4));
  CHECK(layer.ffn_post_norm == std::vector<float>(32, 5));
}

TEST_CASE("weights: RoPE divisors", "[weights]") {
  GgufWriter writer = MakeTinyLlama();
  writer.AddFloats("rope_freqs.weight", {4}, std::vector<float>{1, 1, 2, 8});
  const Bytes bytes = writer.ToBytes();
  CHECK(Load(bytes).rope_divisors == std::vector<float>{1, 1, 2, 8});
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    writer.RemoveTensor("rope_freqs.weight");
    writer.AddFloats("rope_freqs.weight", {4}, std::vector<float>{1, 1, bad, 8});
    ExpectRefused(writer, {"rope_freqs.weight", "finite and positive"});
  }
  writer.RemoveTensor("rope_freqs.weight");
  writer.AddZeros("rope_freqs.weight", DType::kF32, {8});
  ExpectRefused(writer, {"rope_freqs.weight", "found [8]", "allowed [4]"});
}

// Under the prefix of a model that also sees, with a tensor of the part that does.
TEST_CASE("weights: Hugging Face names of Gemma, with the text part of a larger model",
          "[weights]") {
  const ModelFile file = ModelFile::Open(SPARK_TEST_DATA "/models/gemma3");
  const SafetensorsFile stored =
      SafetensorsFile::Open(SPARK_TEST_DATA "/models/gemma3/model.safetensors");
  std::vector<float> norm = stored.ReadFloats("model.layers.6.self_attn.k_norm.weight");
  for (float& w : norm) w += 1;
  CHECK(file.weights().layers[6].k_norm == norm);
  norm = stored.ReadFloats("model.norm.weight");
  for (float& w : norm) w += 1;
  CHECK(file.weights().output_norm == norm);

  for (const std::string prefix : {"language_model.model.", "model.language_model."}) {
    std::vector<StoredTensor> tensors = file.tensors();
    for (StoredTensor& tensor : tensors) tensor.name.replace(0, 6, prefix);
    StoredTensor vision = tensors.front();
    vision.name = "vision_tower.embeddings.weight";
    tensors.push_back(vision);
    const auto load = [&] {
      return LoadWeights(file.config(), tensors, TensorNames::kHuggingFace, TiedOutput::kYes,
                         "some");
    };
    const Weights weights = load();
    CHECK(weights.output_norm == norm);
    CHECK(weights.layers[6].wq.data == file.weights().layers[6].wq.data);
    tensors.back().name = prefix + "layers.0.self_attn.q_proj.bias";
    ExpectError(load, {"q_proj.bias", "not a tensor of a gemma3 model"});
  }
}

}  // namespace weights_load_test
}  // namespace spark
