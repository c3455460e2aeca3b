// The architectures that are known: what each fixes about a transformer, and what it assumes where
// a file says nothing.
#ifndef SPARK_MODEL_CONFIG_ARCHITECTURE_H_
#define SPARK_MODEL_CONFIG_ARCHITECTURE_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "model/config.h"

namespace spark {

struct Architecture {
  std::string_view name;  // `general.architecture`, and `model_type` unless HuggingFaceType differs

  // Of the rows of Q and K in GGUF files; Hugging Face's are always half-split.
  RopeStyle gguf_rope = RopeStyle::kHalfSplit;
  bool pre_norms = true;
  bool post_norms = false;
  bool qkv_bias = false;  // always; other architectures may have biases when the file says so
  QkNorm qk_norm = QkNorm::kNone;
  Activation activation = Activation::kSilu;
  bool scaled_embedding = false;  // by sqrt(hidden_size)

  // If a file gives a window: every n-th layer still sees everything. 1: all do, 0: none does.
  size_t global_every = 1;
  float local_theta = 0;     // frequency base of layers with a window; 0: like the other layers
  size_t no_rope_every = 0;  // every n-th layer has no RoPE; 0: all have it

  bool softcaps = false;  // the caps below are there to be read; 0: no cap unless the file has one
  float attention_softcap = 0;
  float final_softcap = 0;

  // GGUF has no key for the scale of scores. It is 1 / sqrt(head_dim), but in the model with this
  // many layers 1 / sqrt(hidden_size / n_heads).
  size_t layers_scaled_by_width = 0;
};

std::span<const Architecture> Architectures();

// Null for a name that is not in the list.
const Architecture* FindArchitecture(std::string_view name);

// Everything that follows from the architecture and the sizes, which are already in `config`.
void ApplyArchitecture(const Architecture& architecture, ModelConfig& config);

// Fills config.layers by the rules of `architecture`. `window` 0: no layer has one; `global_every`
// as in Architecture. n_layers has been checked.
void FillLayers(const Architecture& architecture, size_t window, size_t global_every,
                ModelConfig& config);

// A layer with a window: as long as `window`, unless the context cannot be longer.
void SetWindow(const Architecture& architecture, size_t window, ModelConfig& config, size_t layer);

}  // namespace spark

#endif  // SPARK_MODEL_CONFIG_ARCHITECTURE_H_
