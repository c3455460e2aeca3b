#include "model/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace spark {
namespace {

constexpr uint64_t kSampleBytes = 4096;

void AddRope(const RopeConfig& rope, Fnv1a& hash) {
  hash.Add(rope.style);
  hash.Add(rope.scaling);
  hash.Add(uint64_t{rope.dim});
  hash.Add(uint64_t{rope.original_context_length});
  for (const float x : {rope.theta, rope.factor, rope.low_freq_factor, rope.high_freq_factor}) {
    hash.Add(x);
  }
}

void AddConfig(const ModelConfig& config, Fnv1a& hash) {
  hash.Add(config.arch);
  for (const size_t n :
       {config.vocab_size, config.hidden_size, config.n_layers, config.n_heads, config.n_kv_heads,
        config.head_dim, config.intermediate_size, config.context_length}) {
    hash.Add(uint64_t{n});
  }
  AddRope(config.rope, hash);
  AddRope(config.local_rope, hash);
  for (const LayerConfig& layer : config.layers) {
    hash.Add(uint64_t{layer.window});
    hash.Add(layer.rope);
  }
  for (const bool b : {config.pre_norms, config.post_norms, config.qkv_bias,
                       config.attn_output_bias, config.mlp_bias}) {
    hash.Add(b);
  }
  hash.Add(config.qk_norm);
  hash.Add(config.activation);
  for (const float x : {config.rms_norm_eps, config.stored_norm_offset, config.embedding_scale,
                        config.attention_scale, config.attention_softcap, config.final_softcap}) {
    hash.Add(x);
  }
}

void AddTensor(const StoredTensor& tensor, Fnv1a& hash) {
  hash.Add(tensor.name);
  hash.Add(tensor.type);
  hash.Add(uint64_t{tensor.shape.size()});
  for (const uint64_t n : tensor.shape) hash.Add(n);
  const uint64_t sample = std::min(tensor.bytes, kSampleBytes);
  hash.Add(std::span(tensor.data, sample));
  hash.Add(std::span(tensor.data + (tensor.bytes - sample), sample));
}

}  // namespace

std::string Fingerprint(const ModelFile& file) {
  Fnv1a hash;
  AddConfig(file.config(), hash);
  for (const StoredTensor& tensor : file.tensors()) AddTensor(tensor, hash);
  return fmt::format("{:016x}", hash.value());
}

}  // namespace spark
