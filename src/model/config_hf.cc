#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "io/byte_reader.h"
#include "model/config_load.h"
#include "spark/error.h"

namespace spark {
namespace {

using Json = nlohmann::json;

// An object of config.json with checked access; null counts as absent, as in transformers.
class Section {
 public:
  Section(const Json& object, std::string file, std::string prefix = {})
      : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {}

  const Json* Find(const char* key) const {
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<size_t> FindUint(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned()) FailType(key, *value, "an unsigned integer");
    return value->get<size_t>();
  }
  size_t GetUint(const char* key) const { return Required(key, FindUint(key)); }

  std::optional<float> FindFloat(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) FailType(key, *value, "a number");
    const auto number = static_cast<float>(value->get<double>());
    if (!std::isfinite(number)) Fail(key, "out of range", value->dump(), "a finite number");
    return number;
  }
  float GetFloat(const char* key) const { return Required(key, FindFloat(key)); }

  std::optional<std::string> FindString(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) FailType(key, *value, "a string");
    return value->get<std::string>();
  }

  bool FindBool(const char* key, bool missing) const {
    const Json* value = Find(key);
    if (value == nullptr) return missing;
    if (!value->is_boolean()) FailType(key, *value, "a boolean");
    return value->get<bool>();
  }

  std::optional<Section> FindSection(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) FailType(key, *value, "an object");
    return Section(*value, file_, prefix_ + key + ".");
  }

  [[noreturn]] void Fail(const char* key, const std::string& message, std::string found = {},
                         std::string allowed = {}) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .field = prefix_ + key,
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  template <typename T>
  T Required(const char* key, std::optional<T> value) const {
    if (!value) Fail(key, "key is missing");
    return *value;
  }

  [[noreturn]] void FailType(const char* key, const Json& value, const char* allowed) const {
    Fail(key, "wrong type", value.is_number() ? value.dump() : value.type_name(), allowed);
  }

  const Json* object_;
  std::string file_;
  std::string prefix_;
};

void CheckModelType(const Section& config) {
  const auto type = config.FindString("model_type");
  if (!type) config.Fail("model_type", "key is missing", {}, "llama");
  if (*type != "llama") {
    config.Fail("model_type", "architecture is not supported", Quoted(*type), "llama");
  }
}

void RefuseUnsupported(const Section& config) {
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (config.FindBool(key, false)) config.Fail(key, "biases are not supported", "true", "false");
  }
  const std::string activation = config.FindString("hidden_act").value_or("silu");
  if (activation != "silu") {
    config.Fail("hidden_act", "activation is not supported", Quoted(activation), "silu");
  }
  if (config.Find("quantization_config") != nullptr) {
    config.Fail("quantization_config", "quantised Hugging Face weights are not supported");
  }
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

// `rope_parameters` (transformers 5) holds both; before, `rope_theta` stood at the top and
// `rope_scaling` held the rest.
RopeConfig ReadRope(const Section& config, size_t head_dim) {
  RopeConfig rope;
  rope.style = RopeStyle::kHalfSplit;
  rope.dim = head_dim;
  rope.theta = config.FindFloat("rope_theta").value_or(10000.0f);
  auto scaling = config.FindSection("rope_parameters");
  if (scaling) {
    rope.theta = scaling->FindFloat("rope_theta").value_or(rope.theta);
  } else {
    scaling = config.FindSection("rope_scaling");
  }
  if (!scaling) return rope;
  rope.scaling = ParseScaling(*scaling);
  if (rope.scaling == RopeScaling::kNone) return rope;
  rope.factor = scaling->GetFloat("factor");
  if (rope.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = scaling->GetFloat("low_freq_factor");
    rope.high_freq_factor = scaling->GetFloat("high_freq_factor");
    rope.original_context_length = scaling->GetUint("original_max_position_embeddings");
  }
  return rope;
}

size_t ReadHeadDim(const Section& section, const ModelConfig& config) {
  if (const auto head_dim = section.FindUint("head_dim")) return *head_dim;
  if (config.n_heads == 0 || config.hidden_size % config.n_heads != 0) {
    section.Fail("num_attention_heads", "does not divide hidden_size",
                 std::to_string(config.n_heads), std::to_string(config.hidden_size));
  }
  return config.hidden_size / config.n_heads;
}

}  // namespace

HuggingFaceConfig ConfigFromHuggingFace(const Json& json, const std::string& path) {
  if (!json.is_object()) throw Error("not a JSON object", ErrorContext{.file = path});
  const Section section(json, path);
  CheckModelType(section);
  RefuseUnsupported(section);
  ModelConfig config;
  config.arch = "llama";
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
  config.rope = ReadRope(section, config.head_dim);
  CheckConfig(config, path);
  return {config, section.FindBool("tie_word_embeddings", false)};
}

}  // namespace spark
