#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "model/config_load.h"

namespace spark {
namespace {

constexpr std::string_view kEmbedding = "token_embd.weight";

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

std::string ReadArchitecture(const GgufMetadata& metadata) {
  const std::string_view arch = metadata.GetString("general.architecture");
  if (arch != "llama") {
    metadata.Fail("general.architecture", "architecture is not supported",
                  fmt::format("\"{}\"", arch.substr(0, 80)), "llama");
  }
  return std::string(arch);
}

// Features that files of this architecture can switch on and this code does not have.
void RefuseUnsupported(const GgufMetadata& metadata, const ArchKeys& keys, size_t context_length) {
  if (keys.Get("expert_count", 0) > 0) {
    metadata.Fail(keys.Key("expert_count"), "mixtures of experts are not supported");
  }
  const size_t window = keys.Get("attention.sliding_window", 0);
  if (window != 0 && window < context_length) {
    metadata.Fail(keys.Key("attention.sliding_window"), "sliding windows are not supported",
                  std::to_string(window));
  }
  if (!metadata.FindBool(keys.Key("attention.causal")).value_or(true)) {
    metadata.Fail(keys.Key("attention.causal"), "only causal attention is supported");
  }
  for (const char* name :
       {"attention.scale", "attention.clamp_kqv", "attn_logit_softcapping",
        "final_logit_softcapping", "logit_scale", "residual_scale", "embedding_scale"}) {
    if (metadata.Has(keys.Key(name))) metadata.Fail(keys.Key(name), "key is not supported");
  }
}

RopeConfig ReadRope(const GgufMetadata& metadata, const ArchKeys& keys, size_t head_dim) {
  RopeConfig rope;
  rope.style = RopeStyle::kInterleaved;
  rope.dim = keys.Get("rope.dimension_count", head_dim);
  rope.theta = metadata.FindFloat(keys.Key("rope.freq_base")).value_or(10000.0f);
  const std::string type_key = keys.Key("rope.scaling.type");
  const std::string_view type = metadata.FindString(type_key).value_or("none");
  // Older files have no type, but `rope.scale_linear`.
  const auto old_factor = metadata.FindFloat(keys.Key("rope.scale_linear"));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = metadata.GetFloat(keys.Key("rope.scaling.factor"));
  } else if (type != "none") {
    metadata.Fail(type_key, "RoPE scaling is not supported",
                  fmt::format("\"{}\"", type.substr(0, 80)), "none, linear");
  } else if (old_factor && *old_factor != 1.0f) {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = *old_factor;
  }
  return rope;
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

}  // namespace

ModelConfig ConfigFromGguf(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  ModelConfig config;
  config.arch = ReadArchitecture(metadata);
  const ArchKeys keys(metadata, config.arch);
  config.name = metadata.FindString("general.name")
                    .value_or(std::filesystem::path(file.name()).stem().string());
  config.n_layers = keys.Get("block_count");
  config.context_length = keys.Get("context_length");
  config.hidden_size = keys.Get("embedding_length");
  config.intermediate_size = keys.Get("feed_forward_length");
  config.n_heads = keys.Get("attention.head_count");
  config.n_kv_heads = keys.Get("attention.head_count_kv", config.n_heads);
  config.rms_norm_eps = metadata.GetFloat(keys.Key("attention.layer_norm_rms_epsilon"));
  RefuseUnsupported(metadata, keys, config.context_length);

  const std::string key_length = keys.Key("attention.key_length");
  if (!metadata.Has(key_length) &&
      (config.n_heads == 0 || config.hidden_size % config.n_heads != 0)) {
    metadata.Fail(keys.Key("attention.head_count"), "does not divide the embedding length",
                  std::to_string(config.n_heads), std::to_string(config.hidden_size));
  }
  config.head_dim = metadata.FindUint(key_length)
                        .value_or(config.n_heads == 0 ? 0 : config.hidden_size / config.n_heads);
  const size_t value_length = keys.Get("attention.value_length", config.head_dim);
  if (value_length != config.head_dim) {
    metadata.Fail(keys.Key("attention.value_length"), "must be the same as the key length",
                  std::to_string(value_length), std::to_string(config.head_dim));
  }
  config.rope = ReadRope(metadata, keys, config.head_dim);
  config.vocab_size = ReadVocabSize(file, keys);
  CheckConfig(config, file.name());
  return config;
}

}  // namespace spark
