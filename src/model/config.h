// Hyperparameters of a transformer, checked: every value here has been found sensible before
// anything is allocated from it.
#ifndef SPARK_MODEL_CONFIG_H_
#define SPARK_MODEL_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace spark {

// Which elements of a head a rotation pairs.
enum class RopeStyle : uint8_t {
  kInterleaved,  // (0,1), (2,3), …: GGUF's llama, whose Q and K rows are permuted for it
  kHalfSplit,    // (0,D/2), (1,D/2+1), …: Hugging Face weights
};

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3 };

struct RopeConfig {
  RopeStyle style = RopeStyle::kInterleaved;
  size_t dim = 0;       // how many elements of a head are rotated; even, <= head_dim
  float theta = 10000;  // base of the frequencies theta^(-2i/dim)
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1;  // kLinear, kLlama3: how many times longer the context became
  // kLlama3 only (Llama 3.1): wavelengths below original/high stay, above original/low are divided
  // by factor, between them both are blended.
  float low_freq_factor = 1;
  float high_freq_factor = 4;
  size_t original_context_length = 8192;
  // GGUF may carry llama3 scaling as a tensor of dim/2 divisors (`rope_freqs.weight`); see Weights.
};

struct ModelConfig {
  std::string arch;  // "llama"
  std::string name;  // general.name, or the folder's
  size_t vocab_size = 0;
  size_t hidden_size = 0;
  size_t n_layers = 0;
  size_t n_heads = 0;
  size_t n_kv_heads = 0;  // divides n_heads
  size_t head_dim = 0;
  size_t intermediate_size = 0;
  size_t context_length = 0;  // tokens the model was trained for
  float rms_norm_eps = 1e-5f;
  RopeConfig rope;

  size_t group_size() const { return n_heads / n_kv_heads; }
  size_t q_size() const { return n_heads * head_dim; }
  size_t kv_size() const { return n_kv_heads * head_dim; }
};

}  // namespace spark

#endif  // SPARK_MODEL_CONFIG_H_
