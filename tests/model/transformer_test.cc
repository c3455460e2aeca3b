// Parts of the forward pass that the models of tests/data/models do not have, in models so bare
// that the result can be written down. What those have is tested against transformers' logits.
#include "model/transformer.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "backend/dequantize.h"
#include "model/model_file.h"
#include "tests/support/tiny_architecture.h"

namespace spark {
namespace transformer_test {

using test::Bytes;
using test::GgufWriter;
using test::MakeTinyLlama;

// Two layers whose matrices are zero, but for `identity`, which has ones where row = column.
GgufWriter BareLlama(const std::vector<std::string>& identity) {
  GgufWriter writer = MakeTinyLlama({.kv_heads = 4});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* stem :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      const std::string name = layer + stem + ".weight";
      const std::vector<uint64_t> shape = writer.At(name).shape;
      std::vector<float> values(shape[0] * shape[1]);
      if (std::ranges::find(identity, stem) != identity.end()) {
        for (uint64_t i = 0; i < std::min(shape[0], shape[1]); ++i) values[i * shape[1] + i] = 1;
      }
      writer.RemoveTensor(name);
      writer.AddFloats(name, shape, values);
    }
  }
  return writer;
}

void AddBias(GgufWriter& writer, const std::string& stem, size_t n, float value) {
  for (const char* layer : {"blk.0.", "blk.1."}) {
    writer.AddFloats(layer + stem + ".bias", {n}, std::vector<float>(n, value));
  }
}

// What the layers add to the embedding of a few tokens: [n, hidden].
std::vector<float> Added(const GgufWriter& writer, bool reference) {
  const Bytes bytes = writer.ToBytes();
  const ModelFile file = ModelFile::FromMemory(bytes, "test.gguf");
  const ModelConfig& config = file.config();
  const auto backend = reference ? MakeReferenceBackend() : MakeCpuBackend({.compute_f32 = true});
  Transformer transformer(config, file.weights(), *backend, 2);
  const CacheTypes types = {DType::kF32, DType::kF32};
  KvCache cache(config.n_layers, config.n_kv_heads, config.head_dim, types);
  const std::vector<int32_t> ids = {1, 5, 7};
  Activations hidden = transformer.Forward(ids, 0, cache, nullptr);
  std::vector<float> x(hidden.data(), hidden.data() + hidden.size());
  std::vector<float> embedded(x.size());
  backend->Embed(file.weights().token_embedding, ids, embedded.data());
  for (size_t i = 0; i < x.size(); ++i) x[i] -= embedded[i];
  return x;
}

void CheckAdded(const GgufWriter& writer, float expected) {
  for (const bool reference : {true, false}) {
    CAPTURE(reference);
    for (const float x : Added(writer, reference)) {
      CHECK_THAT(x, Catch::Matchers::WithinAbs(expected, 1e-5));
    }
  }
}

TEST_CASE("transformer: biases of attention", "[transformer]") {
  CheckAdded(BareLlama({}), 0);
  GgufWriter writer = BareLlama({"attn_output"});
  AddBias(writer, "attn_q", 32, 5);
  AddBias(writer, "attn_k", 32, 6);
  AddBias(writer, "attn_v", 32, 0.5f);  // the mean of equal values, whatever the scores are
  CheckAdded(writer, 2 * 0.5f);
  AddBias(writer, "attn_output", 32, 0.25f);
  CheckAdded(writer, 2 * (0.5f + 0.25f));
}

TEST_CASE("transformer: biases of the MLP", "[transformer]") {
  GgufWriter writer = BareLlama({"ffn_down"});
  AddBias(writer, "ffn_gate", 64, 1);
  AddBias(writer, "ffn_up", 64, 3);
  AddBias(writer, "ffn_down", 32, 0.5f);
  const float silu_of_1 = 1 / (1 + std::exp(-1.0f));
  CheckAdded(writer, 2 * (silu_of_1 * 3 + 0.5f));
}

TEST_CASE("transformer: rotations of a layer", "[transformer]") {
  const auto rope = [](const std::string& name, size_t layer, auto check) {
    const std::string path = SPARK_TEST_DATA "/models/" + name;
    const ModelFile file = ModelFile::Open(path);
    const auto backend = MakeReferenceBackend();
    const Transformer transformer(file.config(), file.weights(), *backend, 64);
    check(transformer.rope(layer), transformer.rope_frequencies(layer));
  };
  rope("gemma3", 0, [](const RopeConfig& config, std::span<const float> frequencies) {
    CHECK(config.theta == 1e4f);
    CHECK_THAT(frequencies[1], Catch::Matchers::WithinRel(std::pow(1e4, -1.0 / 16), 1e-6));
  });
  rope("gemma3", 5, [](const RopeConfig& config, std::span<const float> frequencies) {
    CHECK(config.theta == 1e6f);
    CHECK_THAT(frequencies[1], Catch::Matchers::WithinRel(std::pow(1e6, -1.0 / 16), 1e-6));
  });
  rope("smollm3", 3, [](const RopeConfig&, std::span<const float> frequencies) {
    CHECK(std::ranges::all_of(frequencies, [](float f) { return f == 0; }));
    CHECK(frequencies.size() == 4);
  });
}

}  // namespace transformer_test
}  // namespace spark
