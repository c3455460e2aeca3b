#include "model/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace spark {
namespace {

constexpr uint64_t kSampleBytes = 4096;

void AddConfig(const ModelConfig& config, Fnv1a& hash) {
  hash.Add(config.arch);
  for (const size_t n :
       {config.vocab_size, config.hidden_size, config.n_layers, config.n_heads, config.n_kv_heads,
        config.head_dim, config.intermediate_size, config.context_length, config.rope.dim,
        config.rope.original_context_length}) {
    hash.Add(uint64_t{n});
  }
  hash.Add(config.rope.style);
  hash.Add(config.rope.scaling);
  for (const float x : {config.rms_norm_eps, config.rope.theta, config.rope.factor,
                        config.rope.low_freq_factor, config.rope.high_freq_factor}) {
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
