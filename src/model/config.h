// Hyperparameters of a transformer, checked: every value here has been found sensible before
// anything is allocated from it.
#ifndef SPARK_MODEL_CONFIG_H_
#define SPARK_MODEL_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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

enum class Activation : uint8_t { kSilu, kGeluTanh };

// Normalisation of queries and keys before RoPE.
enum class QkNorm : uint8_t {
  kNone,
  kHead,  // every head by itself, weights [head_dim]: Qwen3, Gemma 3
  kWhole  // all heads as one vector, weights [n_heads * head_dim]: OLMo 2
};

// How a layer differs from its neighbours.
struct LayerConfig {
  enum class Rope : uint8_t { kGlobal, kLocal, kNone };
  size_t window = 0;  // a token sees itself and the window - 1 before it; 0: all before it
  Rope rope = Rope::kGlobal;
};

// An architecture is a choice of these: the transformer itself knows none by name.
struct ModelConfig {
  std::string arch;  // "llama", "gemma3", …
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
  RopeConfig local_rope;  // of layers with Rope::kLocal: Gemma 3's windows

  std::vector<LayerConfig> layers;  // [n_layers]
  bool pre_norms = true;            // of what goes into attention and MLP
  bool post_norms = false;          // of what comes out of them, before it is added
  bool qkv_bias = false;
  bool attn_output_bias = false;
  bool mlp_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  Activation activation = Activation::kSilu;
  float stored_norm_offset = 0;  // added to the norm weights of the file: Gemma's Hugging Face
                                 // files hold w - 1
  float embedding_scale = 1;     // Gemma: sqrt(hidden_size)
  float attention_scale = 0;     // of scores; 0: 1 / sqrt(head_dim)
  float attention_softcap = 0;   // scores s become cap * tanh(s / cap); 0: they stay
  float final_softcap = 0;       // the same for logits

  std::vector<size_t> windows() const {  // of all layers
    std::vector<size_t> windows;
    for (const LayerConfig& layer : layers) windows.push_back(layer.window);
    windows.resize(n_layers);
    return windows;
  }
  size_t group_size() const { return n_heads / n_kv_heads; }
  size_t q_size() const { return n_heads * head_dim; }
  size_t kv_size() const { return n_kv_heads * head_dim; }
};

}  // namespace spark

#endif  // SPARK_MODEL_CONFIG_H_
