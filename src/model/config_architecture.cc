#include "model/config_architecture.h"

#include <algorithm>
#include <cmath>

namespace spark {
namespace {

// Published with the models: Llama (arXiv 2302.13971) and Mistral (2310.06825), whose GGUF files
// are `llama` too; Qwen 2 (2407.10671) and 3 (2505.09388); Gemma 2 (2408.00118) and 3 (2503.19786);
// Phi 3 (2404.14219); OLMo 2 (2501.00656); SmolLM3 (no RoPE in every fourth layer: 2501.18795).
constexpr Architecture kArchitectures[] = {
    {.name = "llama", .gguf_rope = RopeStyle::kInterleaved, .global_every = 0},
    {.name = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .qk_norm = QkNorm::kHead},
    {.name = "gemma2",
     .post_norms = true,
     .activation = Activation::kGeluTanh,
     .scaled_embedding = true,
     .global_every = 2,
     .softcaps = true,
     .attention_softcap = 50,
     .final_softcap = 30,
     .layers_scaled_by_width = 46},  // 27B
    {.name = "gemma3",
     .post_norms = true,
     .qk_norm = QkNorm::kHead,
     .activation = Activation::kGeluTanh,
     .scaled_embedding = true,
     .global_every = 6,
     .local_theta = 10000,
     .softcaps = true,
     .layers_scaled_by_width = 62},  // 27B
    {.name = "phi3", .global_every = 0},
    {.name = "olmo2", .pre_norms = false, .post_norms = true, .qk_norm = QkNorm::kWhole},
    {.name = "smollm3", .gguf_rope = RopeStyle::kInterleaved, .no_rope_every = 4},
};

}  // namespace

std::span<const Architecture> Architectures() { return kArchitectures; }

const Architecture* FindArchitecture(std::string_view name) {
  const auto* found = std::ranges::find(kArchitectures, name, &Architecture::name);
  return found == std::end(kArchitectures) ? nullptr : found;
}

void ApplyArchitecture(const Architecture& architecture, ModelConfig& config) {
  config.arch = architecture.name;
  config.pre_norms = architecture.pre_norms;
  config.post_norms = architecture.post_norms;
  config.qkv_bias = architecture.qkv_bias;
  config.qk_norm = architecture.qk_norm;
  config.activation = architecture.activation;
  if (architecture.scaled_embedding) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  }
}

void FillLayers(const Architecture& architecture, size_t window, size_t global_every,
                ModelConfig& config) {
  config.layers.assign(config.n_layers, {});
  const auto is_nth = [](size_t layer, size_t n) { return n != 0 && (layer + 1) % n == 0; };
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    if (window != 0 && !is_nth(layer, global_every)) {
      SetWindow(architecture, window, config, layer);
    }
    if (is_nth(layer, architecture.no_rope_every)) {
      config.layers[layer].rope = LayerConfig::Rope::kNone;
    }
  }
}

void SetWindow(const Architecture& architecture, size_t window, ModelConfig& config, size_t layer) {
  LayerConfig& layer_config = config.layers[layer];
  if (window < config.context_length) layer_config.window = window;
  if (architecture.local_theta != 0) layer_config.rope = LayerConfig::Rope::kLocal;
}

}  // namespace spark
