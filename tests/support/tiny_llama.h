// A GGUF Llama small enough to make in memory; tests change what they want to break.
#ifndef SPARK_TESTS_SUPPORT_TINY_LLAMA_H_
#define SPARK_TESTS_SUPPORT_TINY_LLAMA_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace spark::test {

struct TinyLlama {
  uint64_t vocab = 12, hidden = 32, layers = 2, heads = 4, kv_heads = 2, head_dim = 8;
  uint64_t intermediate = 64;
  uint32_t context = 128;
  bool own_output = true;
  uint32_t seed = 1;
};

// All weights f32, small random numbers; norms are ones.
inline GgufWriter MakeTinyLlama(const TinyLlama& model = {}) {
  GgufWriter writer;
  std::mt19937 random(model.seed);
  const auto add = [&](const std::string& name, std::vector<uint64_t> shape) {
    const uint64_t n = shape.size() == 1 ? shape[0] : shape[0] * shape[1];
    std::vector<float> values(n, 1.0f);
    if (shape.size() > 1) {
      // Not a std distribution: those differ between libraries.
      for (float& x : values) x = static_cast<float>(random() >> 8) * 0x1p-26f - 0.125f;
    }
    writer.AddFloats(name, std::move(shape), values);
  };
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.name", "tiny");
  const auto set = [&](const char* key, uint64_t value) {
    writer.SetU32(std::string("llama.") + key, static_cast<uint32_t>(value));
  };
  set("block_count", model.layers);
  set("context_length", model.context);
  set("embedding_length", model.hidden);
  set("feed_forward_length", model.intermediate);
  set("attention.head_count", model.heads);
  set("attention.head_count_kv", model.kv_heads);
  set("rope.dimension_count", model.head_dim);
  writer.SetF32("llama.attention.layer_norm_rms_epsilon", 1e-5f);

  add("token_embd.weight", {model.vocab, model.hidden});
  const uint64_t q = model.heads * model.head_dim;
  const uint64_t kv = model.kv_heads * model.head_dim;
  for (uint64_t layer = 0; layer < model.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    add(prefix + "attn_norm.weight", {model.hidden});
    add(prefix + "attn_q.weight", {q, model.hidden});
    add(prefix + "attn_k.weight", {kv, model.hidden});
    add(prefix + "attn_v.weight", {kv, model.hidden});
    add(prefix + "attn_output.weight", {model.hidden, q});
    add(prefix + "ffn_norm.weight", {model.hidden});
    add(prefix + "ffn_gate.weight", {model.intermediate, model.hidden});
    add(prefix + "ffn_up.weight", {model.intermediate, model.hidden});
    add(prefix + "ffn_down.weight", {model.hidden, model.intermediate});
  }
  add("output_norm.weight", {model.hidden});
  if (model.own_output) add("output.weight", {model.vocab, model.hidden});
  return writer;
}

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_TINY_LLAMA_H_
