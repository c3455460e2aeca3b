#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_reader.h"
#include "model/config_architecture.h"
#include "model/config_load.h"

namespace spark {
namespace {

constexpr std::string_view kEmbedding = "token_embd.weight";

// Keys behind the architecture's name.
constexpr const char* kWindow = "attention.sliding_window";
constexpr const char* kAttentionSoftcap = "attn_logit_softcapping";
constexpr const char* kFinalSoftcap = "final_logit_softcapping";

// Metadata keys of one architecture: "llama.block_count", …
class ArchKeys {
 public:
  ArchKeys(const GgufMetadata& metadata, std::string_view arch)
      : metadata_(metadata), arch_(arch) {}

  std::string Key(std::string_view name) const { return fmt::format("{}.{}", arch_, name); }
  size_t Get(std::string_view name) const { return metadata_.GetUint(Key(name)); }
  size_t Get(std::string_view name, size_t missing) const {
    return metadata_.FindUint(Key(name)).value_or(missing);
  }

 private:
  const GgufMetadata& metadata_;
  std::string_view arch_;
};

const Architecture& ReadArchitecture(const GgufMetadata& metadata) {
  const std::string_view name = metadata.GetString("general.architecture");
  const Architecture* architecture = FindArchitecture(name);
  if (architecture == nullptr) {
    std::vector<std::string_view> names;
    for (const Architecture& known : Architectures()) names.push_back(known.name);
    metadata.Fail("general.architecture", "architecture is not supported", Quoted(name),
                  fmt::format("{}", fmt::join(names, ", ")));
  }
  return *architecture;
}

// Features that files of this architecture can switch on and this code does not have.
void RefuseUnsupported(const GgufFile& file, const ArchKeys& keys, const Architecture& architecture,
                       const ModelConfig& config) {
  const GgufMetadata& metadata = file.metadata();
  if (keys.Get("expert_count", 0) > 0) {
    metadata.Fail(keys.Key("expert_count"), "mixtures of experts are not supported");
  }
  const size_t window = keys.Get(kWindow, 0);
  if (architecture.global_every == 1 && window != 0 && window < config.context_length) {
    metadata.Fail(keys.Key(kWindow), "sliding windows are not supported in this architecture",
                  std::to_string(window));
  }
  if (!metadata.FindBool(keys.Key("attention.causal")).value_or(true)) {
    metadata.Fail(keys.Key("attention.causal"), "only causal attention is supported");
  }
  for (const char* name : {"attention.scale", "attention.clamp_kqv", "logit_scale",
                           "residual_scale", "embedding_scale"}) {
    if (metadata.Has(keys.Key(name))) metadata.Fail(keys.Key(name), "key is not supported");
  }
  for (const char* name : {kAttentionSoftcap, kFinalSoftcap}) {
    if (!architecture.softcaps && metadata.Has(keys.Key(name))) {
      metadata.Fail(keys.Key(name), "key is not supported in this architecture");
    }
  }
  if (file.Find("rope_factors_long.weight") != nullptr) {
    metadata.Fail("tensor \"rope_factors_long.weight\"", "LongRoPE is not supported");
  }
  const std::string factor = keys.Key("rope.scaling.attn_factor");
  if (const float value = metadata.FindFloat(factor).value_or(1.0f); value != 1.0f) {
    metadata.Fail(factor, "a scale of rotations is not supported", fmt::format("{}", value), "1");
  }
  for (const char* name : {"attention.key_length_swa", "attention.value_length_swa"}) {
    if (keys.Get(name, config.head_dim) != config.head_dim) {
      metadata.Fail(keys.Key(name), "heads of two sizes are not supported");
    }
  }
}

RopeConfig ReadRope(const GgufMetadata& metadata, const ArchKeys& keys,
                    const Architecture& architecture, size_t head_dim) {
  RopeConfig rope;
  rope.style = architecture.gguf_rope;
  rope.dim = keys.Get("rope.dimension_count", head_dim);
  rope.theta = metadata.FindFloat(keys.Key("rope.freq_base")).value_or(10000.0f);
  const std::string type_key = keys.Key("rope.scaling.type");
  const std::string factor_key = keys.Key("rope.scaling.factor");
  const auto type = metadata.FindString(type_key);
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = metadata.GetFloat(factor_key);
  } else if (type && type != "none") {
    metadata.Fail(type_key, "RoPE scaling is not supported", Quoted(*type), "none, linear");
  } else if (!type) {
    // Without a type a factor means linear scaling, as in llama.cpp; old files call it otherwise.
    auto factor = metadata.FindFloat(factor_key);
    if (!factor) factor = metadata.FindFloat(keys.Key("rope.scale_linear"));
    if (factor && *factor != 0.0f && *factor != 1.0f) {
      rope.scaling = RopeScaling::kLinear;
      rope.factor = *factor;
    }
  }
  return rope;
}

// Rotations of the layers with a window: never scaled, they see no more than before.
RopeConfig LocalRope(const GgufMetadata& metadata, const ArchKeys& keys,
                     const Architecture& architecture, const RopeConfig& global) {
  RopeConfig rope;
  rope.style = global.style;
  rope.dim = global.dim;
  rope.theta =
      metadata.FindFloat(keys.Key("rope.freq_base_swa")).value_or(architecture.local_theta);
  return rope;
}

// The pattern key is a period, or says of every layer whether it has the window.
void ReadLayers(const GgufMetadata& metadata, const ArchKeys& keys,
                const Architecture& architecture, ModelConfig& config) {
  const size_t window = architecture.global_every == 1 ? 0 : keys.Get(kWindow, 0);
  const std::string key = keys.Key("attention.sliding_window_pattern");
  const auto value = metadata.values().find(key);
  if (value == metadata.values().end() || !value->second.is_array || window == 0) {
    const size_t period =
        window == 0 ? 1 : keys.Get("attention.sliding_window_pattern", architecture.global_every);
    FillLayers(architecture, window, period, config);
    return;
  }
  const GgufValue& pattern = value->second;
  if (pattern.type != GgufType::kBool || pattern.count != config.n_layers) {
    metadata.Fail(key, "must say of every layer whether it has a window",
                  fmt::format("{} elements", pattern.count),
                  fmt::format("a number, or {} × bool", config.n_layers));
  }
  FillLayers(architecture, 0, 1, config);
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    if (pattern.data[layer] != std::byte{0}) SetWindow(architecture, window, config, layer);
  }
}

void ReadScales(const GgufMetadata& metadata, const ArchKeys& keys,
                const Architecture& architecture, ModelConfig& config) {
  if (architecture.softcaps) {
    config.attention_softcap =
        metadata.FindFloat(keys.Key(kAttentionSoftcap)).value_or(architecture.attention_softcap);
    config.final_softcap =
        metadata.FindFloat(keys.Key(kFinalSoftcap)).value_or(architecture.final_softcap);
  }
  if (config.n_layers == architecture.layers_scaled_by_width) {
    const size_t width = config.hidden_size / config.n_heads;
    config.attention_scale = 1.0f / std::sqrt(static_cast<float>(width));
  }
}

// Biases have no key: they are there, or not. The loader checks that all layers have them.
void FindBiases(const GgufFile& file, ModelConfig& config) {
  config.qkv_bias = config.qkv_bias || file.Find("blk.0.attn_q.bias") != nullptr ||
                    file.Find("blk.0.attn_qkv.bias") != nullptr;
  config.attn_output_bias = file.Find("blk.0.attn_output.bias") != nullptr;
  config.mlp_bias = file.Find("blk.0.ffn_down.bias") != nullptr;
}

// The key, the embedding's rows and the tokenizer's list must agree, as far as they are there.
size_t ReadVocabSize(const GgufFile& file, const ArchKeys& keys) {
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
  const GgufMetadata& metadata = file.metadata();
  const auto tokens = metadata.FindCount(kTokens);
  const auto declared = metadata.FindUint(keys.Key("vocab_size"));
  const StoredTensor* embedding = file.Find(kEmbedding);
  if (embedding == nullptr || embedding->shape.size() != 2) {
    metadata.Fail(fmt::format("tensor \"{}\"", kEmbedding), "matrix is missing");
  }
  const uint64_t rows = embedding->shape[0];
  if (declared && *declared != rows) {
    metadata.Fail(keys.Key("vocab_size"), "does not match the rows of the token embedding",
                  std::to_string(*declared), std::to_string(rows));
  }
  if (tokens && *tokens != rows) {
    metadata.Fail(kTokens, "number of tokens does not match the rows of the token embedding",
                  std::to_string(*tokens), std::to_string(rows));
  }
  return rows;
}

size_t ReadHeadDim(const GgufMetadata& metadata, const ArchKeys& keys, const ModelConfig& config) {
  const std::string key_length = keys.Key("attention.key_length");
  if (!metadata.Has(key_length) &&
      (config.n_heads == 0 || config.hidden_size % config.n_heads != 0)) {
    metadata.Fail(keys.Key("attention.head_count"), "does not divide the embedding length",
                  std::to_string(config.n_heads), std::to_string(config.hidden_size));
  }
  const size_t head_dim =
      metadata.FindUint(key_length)
          .value_or(config.n_heads == 0 ? 0 : config.hidden_size / config.n_heads);
  const size_t value_length = keys.Get("attention.value_length", head_dim);
  if (value_length != head_dim) {
    metadata.Fail(keys.Key("attention.value_length"), "must be the same as the key length",
                  std::to_string(value_length), std::to_string(head_dim));
  }
  return head_dim;
}

}  // namespace

ModelConfig ConfigFromGguf(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  const Architecture& architecture = ReadArchitecture(metadata);
  const ArchKeys keys(metadata, architecture.name);
  ModelConfig config;
  config.name = metadata.FindString("general.name")
                    .value_or(std::filesystem::path(file.name()).stem().string());
  config.n_layers = keys.Get("block_count");
  config.context_length = keys.Get("context_length");
  config.hidden_size = keys.Get("embedding_length");
  config.intermediate_size = keys.Get("feed_forward_length");
  config.n_heads = keys.Get("attention.head_count");
  config.n_kv_heads = keys.Get("attention.head_count_kv", config.n_heads);
  config.rms_norm_eps = metadata.GetFloat(keys.Key("attention.layer_norm_rms_epsilon"));
  config.head_dim = ReadHeadDim(metadata, keys, config);
  config.vocab_size = ReadVocabSize(file, keys);
  CheckSizes(config, file.name());

  RefuseUnsupported(file, keys, architecture, config);
  ApplyArchitecture(architecture, config);
  config.rope = ReadRope(metadata, keys, architecture, config.head_dim);
  config.local_rope = LocalRope(metadata, keys, architecture, config.rope);
  ReadLayers(metadata, keys, architecture, config);
  ReadScales(metadata, keys, architecture, config);
  FindBiases(file, config);
  CheckConfig(config, file.name());
  return config;
}

}  // namespace spark
