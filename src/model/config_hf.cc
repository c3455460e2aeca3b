#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_reader.h"
#include "model/config_architecture.h"
#include "model/config_load.h"
#include "model/config_section.h"
#include "spark/error.h"

namespace spark {
namespace {

using Json = nlohmann::json;
using Section = ConfigSection;

// A `model_type`, with what transformers assumes where config.json says nothing.
struct HuggingFaceType {
  const char* model_type;
  const char* arch;
  const char* defaults;               // JSON
  bool has_window_switch = false;     // `use_sliding_window` must be on for a window to be used
  bool has_attention_bias = true;     // `attention_bias` is a key: biases of Q, K, V and output
  bool has_mlp_bias = false;          // `mlp_bias` is a key
  bool has_partial_rotation = false;  // `partial_rotary_factor` is a key
  const char* activation = "hidden_act";
};

constexpr HuggingFaceType kTypes[] = {
    {.model_type = "llama", .arch = "llama", .defaults = "{}", .has_mlp_bias = true},
    {.model_type = "mistral",
     .arch = "llama",
     .defaults = R"({"num_key_value_heads": 8, "sliding_window": 4096})",
     .has_attention_bias = false},
    {.model_type = "qwen2",
     .arch = "qwen2",
     .defaults = R"({"sliding_window": 4096, "max_window_layers": 28})",
     .has_window_switch = true,
     .has_attention_bias = false},
    {.model_type = "qwen3",
     .arch = "qwen3",
     .defaults = R"({"head_dim": 128, "sliding_window": 4096, "max_window_layers": 28})",
     .has_window_switch = true},
    {.model_type = "gemma2",
     .arch = "gemma2",
     .defaults = R"({"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096,
                     "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6,
                     "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
                     "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true})",
     .activation = "hidden_activation"},
    // Google's own files say only how they differ from this.
    {.model_type = "gemma3_text",
     .arch = "gemma3",
     .defaults = R"({"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
                     "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
                     "head_dim": 256, "max_position_embeddings": 131072, "rms_norm_eps": 1e-6,
                     "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                     "sliding_window": 4096, "query_pre_attn_scalar": 256,
                     "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true})",
     .activation = "hidden_activation"},
    {.model_type = "phi3",
     .arch = "phi3",
     .defaults = "{}",
     .has_attention_bias = false,
     .has_partial_rotation = true},
    {.model_type = "olmo2", .arch = "olmo2", .defaults = "{}"},
    {.model_type = "smollm3",
     .arch = "smollm3",
     .defaults = R"({"num_key_value_heads": 4, "rope_theta": 2000000.0,
                     "tie_word_embeddings": true})",
     .has_window_switch = true,
     .has_mlp_bias = true},
};

const HuggingFaceType& ReadModelType(const Section& config) {
  std::vector<const char*> names;
  for (const HuggingFaceType& type : kTypes) names.push_back(type.model_type);
  const std::string allowed = fmt::format("{}", fmt::join(names, ", "));
  const auto name = config.FindString("model_type");
  if (!name) config.Fail("model_type", "key is missing", {}, allowed);
  for (const HuggingFaceType& type : kTypes) {
    if (*name == type.model_type) return type;
  }
  config.Fail("model_type", "architecture is not supported", Quoted(*name), allowed);
}

void RefuseUnsupported(const Section& config, const HuggingFaceType& type) {
  for (const char* key : {"attention_bias", "mlp_bias", "use_bidirectional_attention"}) {
    const bool known = (key == std::string_view("attention_bias") && type.has_attention_bias) ||
                       (key == std::string_view("mlp_bias") && type.has_mlp_bias);
    if (!known && config.FindBool(key, false)) {
      config.Fail(key, "not supported in this architecture", "true", "false");
    }
  }
  if (config.Find("quantization_config") != nullptr) {
    config.Fail("quantization_config", "quantised Hugging Face weights are not supported");
  }
}

Activation ReadActivation(const Section& config, const HuggingFaceType& type) {
  const std::string name = config.FindString(type.activation).value_or("silu");
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  config.Fail(type.activation, "activation is not supported", Quoted(name),
              "silu, gelu_pytorch_tanh");
}

RopeScaling ParseScaling(const Section& scaling) {
  // "rope_type"; transformers before 4.43 wrote "type".
  const char* key = scaling.Find("rope_type") != nullptr ? "rope_type" : "type";
  const std::string type = scaling.FindString(key).value_or("default");
  if (type == "default") return RopeScaling::kNone;
  if (type == "linear") return RopeScaling::kLinear;
  if (type == "llama3") return RopeScaling::kLlama3;
  scaling.Fail(key, "RoPE scaling is not supported", Quoted(type), "default, linear, llama3");
}

void ReadPartialRotation(const Section& section, const HuggingFaceType& type, size_t head_dim,
                         RopeConfig& rope) {
  constexpr const char* kKey = "partial_rotary_factor";
  const float factor = section.FindFloat(kKey).value_or(1.0f);
  if (factor == 1.0f) return;
  if (!type.has_partial_rotation) {
    section.Fail(kKey, "partial rotation is not supported in this architecture", {}, "1");
  }
  if (!(factor > 0 && factor < 1)) {
    section.Fail(kKey, "out of range", fmt::format("{}", factor), "more than 0, at most 1");
  }
  rope.dim = static_cast<size_t>(static_cast<float>(head_dim) * factor);
}

// What `rope_scaling` or `rope_parameters` holds.
void ReadScaling(const Section& scaling, RopeConfig& rope) {
  rope.theta = scaling.FindFloat("rope_theta").value_or(rope.theta);
  rope.scaling = ParseScaling(scaling);
  if (rope.scaling == RopeScaling::kNone) return;
  rope.factor = scaling.GetFloat("factor");
  if (rope.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = scaling.GetFloat("low_freq_factor");
    rope.high_freq_factor = scaling.GetFloat("high_freq_factor");
    rope.original_context_length = scaling.GetUint("original_max_position_embeddings");
  }
}

// `rope_parameters` (transformers 5) holds everything, in two parts if layers with a window have
// angles of their own; before, `rope_theta` stood at the top and `rope_scaling` held the rest.
void ReadRope(const Section& config, const HuggingFaceType& type, ModelConfig& model) {
  RopeConfig rope;
  rope.style = RopeStyle::kHalfSplit;
  rope.dim = model.head_dim;
  ReadPartialRotation(config, type, model.head_dim, rope);
  rope.theta = config.FindFloat("rope_theta").value_or(10000.0f);
  RopeConfig local = rope;
  local.theta = config.FindFloat("rope_local_base_freq").value_or(rope.theta);
  const auto parameters = config.FindSection("rope_parameters");
  const auto scaling = config.FindSection("rope_scaling");
  if (parameters && scaling) {
    config.Fail("rope_scaling", "rope_parameters is there too, and one of them must lose");
  }
  if (const auto& section = parameters ? parameters : scaling) {
    const auto full = section->FindSection("full_attention");
    const auto sliding = section->FindSection("sliding_attention");
    if ((full || sliding) && FindArchitecture(type.arch)->local_theta == 0) {
      section->Fail(full ? "full_attention" : "sliding_attention",
                    "two kinds of rotation are not supported in this architecture");
    }
    if (sliding) ReadScaling(*sliding, local);
    const Section& global = full ? *full : *section;
    ReadPartialRotation(global, type, model.head_dim, rope);
    ReadScaling(global, rope);
  }
  model.rope = rope;
  model.local_rope = local;
}

size_t ReadHeadDim(const Section& section, const ModelConfig& config) {
  if (const auto head_dim = section.FindUint("head_dim")) return *head_dim;
  if (config.n_heads == 0 || config.hidden_size % config.n_heads != 0) {
    section.Fail("num_attention_heads", "does not divide hidden_size",
                 std::to_string(config.n_heads), std::to_string(config.hidden_size));
  }
  return config.hidden_size / config.n_heads;
}

// 0 if no layer has a window.
size_t ReadWindow(const Section& section, const HuggingFaceType& type,
                  const Architecture& architecture) {
  if (type.has_window_switch && !section.FindBool("use_sliding_window", false)) return 0;
  if (type.model_type == std::string_view("llama")) return 0;  // transformers knows none there
  const size_t window = section.FindUint("sliding_window").value_or(0);
  if (window == 0 && architecture.local_theta != 0) {
    section.Fail("sliding_window", "key is missing or 0");
  }
  return window;
}

// `layer_types` says it of every layer; without it each architecture has its rule.
void ReadLayers(const Section& section, const HuggingFaceType& type,
                const Architecture& architecture, ModelConfig& config) {
  const size_t window = ReadWindow(section, type, architecture);
  const char* pattern =
      section.Find("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  const Json* types = section.FindList("layer_types", config.n_layers);
  if (types == nullptr && !type.has_window_switch) {
    FillLayers(architecture, window, section.FindUint(pattern).value_or(architecture.global_every),
               config);
  } else {
    FillLayers(architecture, 0, 1, config);
  }
  for (size_t layer = 0; types != nullptr && layer < config.n_layers; ++layer) {
    const Json& name = (*types)[layer];
    if (name != "full_attention" && name != "sliding_attention") {
      section.Fail("layer_types", "kind of layer is not supported", Quoted(name.dump()),
                   "full_attention, sliding_attention");
    }
    if (name == "sliding_attention" && window != 0) {
      SetWindow(architecture, window, config, layer);
    }
  }
  if (types == nullptr && type.has_window_switch && window != 0) {
    const size_t first = section.GetUint("max_window_layers");
    for (size_t layer = first; layer < config.n_layers; ++layer) {
      SetWindow(architecture, window, config, layer);
    }
  }
}

// SmolLM3: 1 for a layer with RoPE, 0 for one without; else every n-th is without.
void ReadNoRope(const Section& section, const Architecture& architecture, ModelConfig& config) {
  if (architecture.no_rope_every == 0) return;
  const Json* list = section.FindList("no_rope_layers", config.n_layers);
  const size_t interval =
      section.FindUint("no_rope_layer_interval").value_or(architecture.no_rope_every);
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    bool rope = interval == 0 || (layer + 1) % interval != 0;
    if (list != nullptr) {
      const Json& value = (*list)[layer];
      if (value != 0 && value != 1) {
        section.Fail("no_rope_layers", "wrong element", Quoted(value.dump()), "0, 1");
      }
      rope = value == 1;
    }
    config.layers[layer].rope = rope ? LayerConfig::Rope::kGlobal : LayerConfig::Rope::kNone;
  }
}

void ReadScales(const Section& section, const Architecture& architecture, ModelConfig& config) {
  if (architecture.scaled_embedding) config.stored_norm_offset = 1;
  if (!architecture.softcaps) return;
  config.attention_softcap = section.FindFloat("attn_logit_softcapping").value_or(0.0f);
  config.final_softcap = section.FindFloat("final_logit_softcapping").value_or(0.0f);
  config.attention_scale = 1.0f / std::sqrt(section.GetFloat("query_pre_attn_scalar"));
}

// The text part of a model that also sees, else the whole.
Json TextConfig(const Json& json, const std::string& path) {
  if (!json.is_object()) throw Error("not a JSON object", ErrorContext{.file = path});
  const Section section(json, path);
  if (section.FindString("model_type") != "gemma3") return json;
  if (!section.FindSection("text_config")) section.Fail("text_config", "key is missing");
  Json text = *section.Find("text_config");
  if (const Json* quantization = section.Find("quantization_config")) {
    text["quantization_config"] = *quantization;
  }
  return text;
}

}  // namespace

HuggingFaceConfig ConfigFromHuggingFace(const Json& json, const std::string& path) {
  const Json text = TextConfig(json, path);
  const HuggingFaceType& type = ReadModelType(Section(text, path));
  const Architecture& architecture = *FindArchitecture(type.arch);
  Json merged = Json::parse(type.defaults);
  merged.update(text);
  const Section section(merged, path);
  RefuseUnsupported(section, type);

  ModelConfig config;
  config.name = std::filesystem::absolute(path).parent_path().filename().string();
  config.vocab_size = section.GetUint("vocab_size");
  config.hidden_size = section.GetUint("hidden_size");
  config.n_layers = section.GetUint("num_hidden_layers");
  config.n_heads = section.GetUint("num_attention_heads");
  config.n_kv_heads = section.FindUint("num_key_value_heads").value_or(config.n_heads);
  config.head_dim = ReadHeadDim(section, config);
  config.intermediate_size = section.GetUint("intermediate_size");
  config.context_length = section.GetUint("max_position_embeddings");
  config.rms_norm_eps = section.GetFloat("rms_norm_eps");
  CheckSizes(config, path);

  ApplyArchitecture(architecture, config);
  config.activation = ReadActivation(section, type);
  if (section.FindBool("attention_bias", false)) config.qkv_bias = config.attn_output_bias = true;
  config.mlp_bias = section.FindBool("mlp_bias", false);
  ReadRope(section, type, config);
  ReadLayers(section, type, architecture, config);
  ReadNoRope(section, architecture, config);
  ReadScales(section, architecture, config);
  CheckConfig(config, path);
  return {config, section.FindBool("tie_word_embeddings", false)};
}

}  // namespace spark
