#include <fmt/format.h>

#include <cmath>
#include <string>

#include "model/config_load.h"
#include "spark/error.h"

namespace spark {
namespace {

// Several times what the largest published models have; products of any four fit 64 bits.
constexpr size_t kMaxLayers = 1024;
constexpr size_t kMaxHeads = 1024;
constexpr size_t kMaxHeadDim = 1024;
constexpr size_t kMaxHidden = size_t{1} << 17;
constexpr size_t kMaxIntermediate = size_t{1} << 20;
constexpr size_t kMaxVocab = size_t{1} << 22;
constexpr size_t kMaxContext = size_t{1} << 30;

class Checker {
 public:
  explicit Checker(const std::string& file) : file_(file) {}

  void Range(const char* name, size_t value, size_t min, size_t max) const {
    if (value < min || value > max) {
      Fail(name, "out of range", std::to_string(value), fmt::format("{} to {}", min, max));
    }
  }

  // Written so that NaN fails.
  void Range(const char* name, float value, float min, float max) const {
    if (!(value >= min && value <= max)) {
      Fail(name, "out of range", fmt::format("{}", value), fmt::format("{} to {}", min, max));
    }
  }

  [[noreturn]] void Fail(const char* name, const char* message, std::string found,
                         std::string allowed) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .field = name,
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  const std::string& file_;
};

void CheckRope(const RopeConfig& rope, size_t head_dim, const Checker& check) {
  check.Range("rope dimensions", rope.dim, 2, head_dim);
  if (rope.dim % 2 != 0) {
    check.Fail("rope dimensions", "must be even", std::to_string(rope.dim), "");
  }
  check.Range("rope base frequency", rope.theta, 1.0f, 1e15f);
  if (rope.scaling == RopeScaling::kNone) return;
  check.Range("rope scaling factor", rope.factor, 1e-3f, 1e6f);
  if (rope.scaling != RopeScaling::kLlama3) return;
  check.Range("rope low_freq_factor", rope.low_freq_factor, 1e-3f, 1e6f);
  check.Range("rope high_freq_factor", rope.high_freq_factor, 1e-3f, 1e6f);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    check.Fail("rope high_freq_factor", "must be above low_freq_factor",
               fmt::format("{}", rope.high_freq_factor),
               fmt::format("more than {}", rope.low_freq_factor));
  }
  check.Range("rope original context length", rope.original_context_length, 1, kMaxContext);
}

}  // namespace

void CheckSizes(const ModelConfig& config, const std::string& file) {
  const Checker check(file);
  check.Range("layers", config.n_layers, 1, kMaxLayers);
  check.Range("attention heads", config.n_heads, 1, kMaxHeads);
  check.Range("KV heads", config.n_kv_heads, 1, config.n_heads);
  if (config.n_heads % config.n_kv_heads != 0) {
    check.Fail("KV heads", "attention heads are not divisible by KV heads",
               fmt::format("{} heads, {} KV heads", config.n_heads, config.n_kv_heads), "");
  }
  check.Range("hidden size", config.hidden_size, 1, kMaxHidden);
  check.Range("head dimension", config.head_dim, 2, kMaxHeadDim);
  if (config.head_dim % 2 != 0) {
    check.Fail("head dimension", "must be even", std::to_string(config.head_dim), "");
  }
  check.Range("intermediate size", config.intermediate_size, 1, kMaxIntermediate);
  check.Range("vocabulary size", config.vocab_size, 1, kMaxVocab);
  check.Range("context length", config.context_length, 1, kMaxContext);
  check.Range("RMS norm epsilon", config.rms_norm_eps, 1e-30f, 1.0f);
}

void CheckConfig(const ModelConfig& config, const std::string& file) {
  CheckSizes(config, file);
  const Checker check(file);
  CheckRope(config.rope, config.head_dim, check);
  check.Range("layer descriptions", config.layers.size(), config.n_layers, config.n_layers);
  for (const LayerConfig& layer : config.layers) {
    check.Range("sliding window", layer.window, 0, kMaxContext);
    if (layer.rope == LayerConfig::Rope::kLocal) {
      CheckRope(config.local_rope, config.head_dim, check);
    }
  }
  check.Range("embedding scale", config.embedding_scale, 1e-6f, 1e6f);
  check.Range("attention scale", config.attention_scale, 0.0f, 1e3f);
  check.Range("soft cap of attention scores", config.attention_softcap, 0.0f, 1e6f);
  check.Range("soft cap of logits", config.final_softcap, 0.0f, 1e6f);
}

}  // namespace spark
