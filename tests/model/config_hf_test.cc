#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "io/json.h"
#include "model/config_load.h"
#include "tests/support/expect_error.h"

namespace spark {
namespace {

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
  ExpectRefused(With("model_type", "mamba"), {"model_type", "found \"mamba\"", "allowed llama"});
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
  ExpectRefused(With("attention_bias", true), {"attention_bias", "biases"});
  ExpectRefused(With("mlp_bias", true), {"mlp_bias", "biases"});
  ExpectRefused(With("hidden_act", "gelu"), {"hidden_act", "found \"gelu\"", "silu"});
  ExpectRefused(With("quantization_config", json::object()), {"quantization_config"});
}

}  // namespace
}  // namespace spark
