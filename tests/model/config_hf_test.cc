#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "io/json.h"
#include "model/config_load.h"
#include "tests/support/expect_error.h"

namespace spark {
namespace config_hf_test {

using nlohmann::json;
using test::ExpectError;

json LlamaConfig() {
  return {{"model_type", "llama"},    {"vocab_size", 320},
          {"hidden_size", 64},        {"num_hidden_layers", 3},
          {"num_attention_heads", 8}, {"num_key_value_heads", 2},
          {"intermediate_size", 176}, {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-6},     {"hidden_act", "silu"}};
}

HuggingFaceConfig Load(const json& config) {
  // By way of text: a parser reads 1 as unsigned, a literal in C++ makes it signed.
  const std::string path = "/models/some/config.json";
  return ConfigFromHuggingFace(ParseJson(config.dump(), path), path);
}

void ExpectRefused(const json& config, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { Load(config); }, parts);
  ExpectError([&] { Load(config); }, {"/models/some/config.json: "});
}

json With(const char* key, const json& value) {
  json config = LlamaConfig();
  config[key] = value;
  return config;
}

// The same under another `model_type`, with some keys changed.
json Typed(const char* type, const json& changes) {
  json config = With("model_type", type);
  if (std::string_view(type).starts_with("gemma")) config.erase("hidden_act");
  config.update(changes);
  return config;
}

TEST_CASE("hf config: every hyperparameter is read", "[config]") {
  const auto [config, tied] = Load(With("head_dim", 16));
  CHECK(config.arch == "llama");
  CHECK(config.name == "some");
  CHECK(config.vocab_size == 320);
  CHECK(config.hidden_size == 64);
  CHECK(config.n_layers == 3);
  CHECK(config.n_heads == 8);
  CHECK(config.n_kv_heads == 2);
  CHECK(config.head_dim == 16);
  CHECK(config.intermediate_size == 176);
  CHECK(config.context_length == 512);
  CHECK(config.rms_norm_eps == 1e-6f);
  CHECK(config.rope.style == RopeStyle::kHalfSplit);
  CHECK(config.rope.dim == 16);
  CHECK(config.rope.theta == 10000.0f);
  CHECK(config.rope.scaling == RopeScaling::kNone);
  CHECK_FALSE(tied);
  CHECK(Load(With("tie_word_embeddings", true)).tied_embeddings);
}

TEST_CASE("hf config: defaults of what may be absent or null", "[config]") {
  json config = LlamaConfig();
  config.erase("num_key_value_heads");
  config.erase("hidden_act");
  config["head_dim"] = nullptr;
  config["rope_scaling"] = nullptr;
  CHECK(Load(config).model.n_kv_heads == 8);
  CHECK(Load(config).model.head_dim == 8);
}

TEST_CASE("hf config: RoPE at the top level, as before transformers 5", "[config]") {
  json config = With("rope_theta", 500000.0);
  CHECK(Load(config).model.rope.theta == 500000.0f);
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  CHECK(Load(config).model.rope.scaling == RopeScaling::kLinear);
  CHECK(Load(config).model.rope.factor == 4.0f);
  config["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 64}};
  const RopeConfig rope = Load(config).model.rope;
  CHECK(rope.theta == 500000.0f);
  CHECK(rope.scaling == RopeScaling::kLlama3);
  CHECK(rope.factor == 8.0f);
  CHECK(rope.low_freq_factor == 1.0f);
  CHECK(rope.high_freq_factor == 4.0f);
  CHECK(rope.original_context_length == 64);
}

TEST_CASE("hf config: RoPE in rope_parameters, as in transformers 5", "[config]") {
  const auto rope_of = [](const std::string& name) {
    const std::string path = SPARK_TEST_DATA "/models/" + name + "/config.json";
    return ConfigFromHuggingFace(ParseJsonFile(path), path).model.rope;
  };
  CHECK(rope_of("llama").scaling == RopeScaling::kNone);
  CHECK(rope_of("llama").theta == 10000.0f);
  CHECK(rope_of("llama-linear-rope").scaling == RopeScaling::kLinear);
  CHECK(rope_of("llama-linear-rope").factor == 4.0f);
  CHECK(rope_of("llama3-rope").scaling == RopeScaling::kLlama3);
  CHECK(rope_of("llama3-rope").theta == 500000.0f);
  CHECK(rope_of("llama3-rope").original_context_length == 64);
}

TEST_CASE("hf config: RoPE scaling that is unknown or incomplete", "[config]") {
  ExpectRefused(With("rope_parameters", {{"rope_type", "yarn"}, {"factor", 4}}),
                {"rope_parameters.rope_type", "found \"yarn\"", "default, linear, llama3"});
  ExpectRefused(With("rope_scaling", {{"type", "dynamic"}}), {"rope_scaling.type", "dynamic"});
  ExpectRefused(With("rope_parameters", {{"rope_type", "linear"}}),
                {"rope_parameters.factor", "missing"});
  ExpectRefused(With("rope_parameters", {{"rope_type", "llama3"}, {"factor", 8}}),
                {"rope_parameters.low_freq_factor", "missing"});
  ExpectRefused(With("rope_parameters", {{"rope_type", "llama3"},
                                         {"factor", 8},
                                         {"low_freq_factor", 4},
                                         {"high_freq_factor", 4},
                                         {"original_max_position_embeddings", 64}}),
                {"high_freq_factor", "above low_freq_factor"});
  ExpectRefused(With("rope_parameters", 3), {"rope_parameters", "found 3", "an object"});
}

TEST_CASE("hf config: unknown architecture", "[config]") {
  ExpectRefused(With("model_type", "mamba"),
                {"model_type", "found \"mamba\"", "allowed llama, mistral, qwen2"});
  ExpectRefused(json::object(), {"model_type", "missing"});
  ExpectRefused(json::array(), {"not a JSON object"});
}

TEST_CASE("hf config: missing or mis-typed hyperparameters", "[config]") {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings", "rms_norm_eps"}) {
    json config = LlamaConfig();
    config.erase(key);
    ExpectRefused(config, {key, "missing"});
    ExpectRefused(With(key, nullptr), {key, "missing"});
    ExpectRefused(With(key, "8"), {key, "wrong type", "found string"});
    ExpectRefused(With(key, json::array()), {key, "wrong type", "found array"});
    ExpectRefused(With(key, -1), {"found -1"});
  }
  ExpectRefused(With("num_hidden_layers", 2.5), {"num_hidden_layers", "found 2.5"});
  ExpectRefused(With("tie_word_embeddings", 1), {"tie_word_embeddings", "a boolean"});
  ExpectRefused(With("rms_norm_eps", 1e300), {"rms_norm_eps", "finite"});
}

TEST_CASE("hf config: heads not divisible by KV heads, absurd sizes", "[config]") {
  ExpectRefused(With("num_key_value_heads", 3), {"8 heads, 3 KV heads"});
  ExpectRefused(With("num_hidden_layers", 0), {"layers", "found 0"});
  ExpectRefused(With("num_hidden_layers", 1'000'000'000), {"layers", "found 1000000000"});
  ExpectRefused(With("head_dim", 7), {"head dimension", "even"});
  ExpectRefused(With("num_attention_heads", 0), {"num_attention_heads"});
  ExpectRefused(With("vocab_size", UINT64_MAX), {"vocabulary size"});
  ExpectRefused(With("rms_norm_eps", 0), {"epsilon", "found 0"});
}

TEST_CASE("hf config: features that would change the result", "[config]") {
  ExpectRefused(Typed("mistral", {{"attention_bias", true}}), {"attention_bias", "not supported"});
  ExpectRefused(Typed("olmo2", {{"mlp_bias", true}}), {"mlp_bias", "not supported"});
  ExpectRefused(With("use_bidirectional_attention", true), {"use_bidirectional_attention"});
  ExpectRefused(With("hidden_act", "gelu"), {"hidden_act", "found \"gelu\"", "silu"});
  ExpectRefused(With("quantization_config", json::object()), {"quantization_config"});
  ExpectRefused(With("partial_rotary_factor", 0.5), {"partial_rotary_factor"});
  ExpectRefused(With("rope_parameters", {{"partial_rotary_factor", 0.5}}),
                {"rope_parameters.partial_rotary_factor"});
  json both = With("rope_parameters", {{"rope_type", "default"}});
  both["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
  ExpectRefused(both, {"rope_scaling", "rope_parameters"});
  ExpectRefused(With("rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}),
                {"rope_parameters.full_attention", "not supported"});
  ExpectRefused(Typed("phi3", {{"rope_scaling", {{"type", "longrope"}}}}),
                {"rope_scaling.type", "longrope"});
}

TEST_CASE("hf config: biases, activation, partial rotation", "[config]") {
  const ModelConfig biased = Load(With("attention_bias", true)).model;
  CHECK((biased.qkv_bias && biased.attn_output_bias && !biased.mlp_bias));
  CHECK(Load(With("mlp_bias", true)).model.mlp_bias);
  CHECK(Load(With("hidden_act", "gelu_pytorch_tanh")).model.activation == Activation::kGeluTanh);
  CHECK(Load(Typed("phi3", {{"partial_rotary_factor", 0.5}})).model.rope.dim == 4);
  CHECK(Load(Typed("phi3", {{"rope_parameters", {{"partial_rotary_factor", 0.75}}}}))
            .model.rope.dim == 6);
  ExpectRefused(Typed("phi3", {{"partial_rotary_factor", 0}}),
                {"partial_rotary_factor", "found 0"});
  ExpectRefused(Typed("phi3", {{"partial_rotary_factor", 0.4}}), {"rope dimensions", "even"});
}

std::vector<size_t> Windows(const json& config) {
  std::vector<size_t> windows;
  for (const LayerConfig& layer : Load(config).model.layers) windows.push_back(layer.window);
  return windows;
}

TEST_CASE("hf config: windows", "[config]") {
  using Sizes = std::vector<size_t>;
  CHECK(Windows(With("sliding_window", 16)) == Sizes{0, 0, 0});  // no such thing in llama
  CHECK(Windows(Typed("mistral", {{"sliding_window", 16}})) == Sizes{16, 16, 16});
  CHECK(Windows(Typed("mistral", {{"sliding_window", nullptr}})) == Sizes{0, 0, 0});
  CHECK(Windows(Typed("mistral", {{"max_position_embeddings", 32768}})) ==
        Sizes{4096, 4096, 4096});  // what transformers assumes
  json qwen = Typed("qwen2", {{"sliding_window", 16}, {"max_window_layers", 1}});
  CHECK(Windows(qwen) == Sizes{0, 0, 0});
  qwen["use_sliding_window"] = true;
  CHECK(Windows(qwen) == Sizes{0, 16, 16});
  qwen["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
  CHECK(Windows(qwen) == Sizes{16, 0, 0});
  qwen["layer_types"] = {"sliding_attention"};
  ExpectRefused(qwen, {"layer_types", "found 1", "allowed 3"});
  qwen["layer_types"] = {"sliding_attention", "linear_attention", "full_attention"};
  ExpectRefused(qwen, {"layer_types", "linear_attention", "full_attention, sliding_attention"});
  CHECK(Windows(Typed("gemma2", {{"sliding_window", 16}})) == Sizes{16, 0, 16});
}

TEST_CASE("hf config: layers without RoPE", "[config]") {
  const auto ropes = [](const json& config) {
    std::string letters;
    for (const LayerConfig& layer : Load(config).model.layers) {
      letters += layer.rope == LayerConfig::Rope::kNone ? '0' : '1';
    }
    return letters;
  };
  CHECK(ropes(Typed("smollm3", {{"num_hidden_layers", 5}})) == "11101");
  CHECK(ropes(Typed("smollm3", {{"no_rope_layer_interval", 2}})) == "101");
  CHECK(ropes(Typed("smollm3", {{"no_rope_layers", {0, 1, 0}}})) == "010");
  ExpectRefused(Typed("smollm3", {{"no_rope_layers", {0, 1}}}), {"no_rope_layers", "found 2"});
  ExpectRefused(Typed("smollm3", {{"no_rope_layers", {0, 1, 2}}}), {"no_rope_layers", "0, 1"});
}

// As Google publishes Gemma 3 4B: only what differs from the defaults, around it the vision part.
TEST_CASE("hf config: the text part of Gemma 3", "[config]") {
  const json config = {{"model_type", "gemma3"},
                       {"text_config",
                        {{"model_type", "gemma3_text"},
                         {"hidden_size", 2560},
                         {"intermediate_size", 10240},
                         {"num_hidden_layers", 34},
                         {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                         {"sliding_window", 1024}}},
                       {"vision_config", {{"hidden_size", 1152}}}};
  const auto [model, tied] = Load(config);
  CHECK(tied);
  CHECK(model.arch == "gemma3");
  CHECK(model.vocab_size == 262208);
  CHECK((model.n_heads == 8 && model.n_kv_heads == 4 && model.head_dim == 256));
  CHECK(model.rope.theta == 1e6f);
  CHECK(model.rope.factor == 8.0f);
  CHECK(model.local_rope.theta == 1e4f);
  CHECK(model.local_rope.scaling == RopeScaling::kNone);
  CHECK(model.attention_scale == 1.0f / 16);
  CHECK(model.layers[4].window == 1024);
  CHECK(model.layers[5].window == 0);
  CHECK(model.layers[5].rope == LayerConfig::Rope::kGlobal);
  json quantised = config;
  quantised["quantization_config"] = json::object();
  ExpectRefused(quantised, {"quantization_config"});
  quantised = config;
  quantised.erase("text_config");
  ExpectRefused(quantised, {"text_config", "missing"});
}

}  // namespace config_hf_test
}  // namespace spark
