#include "model/weights_load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/dequantize.h"
#include "io/byte_reader.h"
#include "spark/error.h"

namespace spark {
namespace {

// Tensors of the two kinds of file; those of a layer go behind `layer` and its number.
struct NameTable {
  const char *token_embedding, *output_norm, *output;
  const char *rope_divisors, *layer;
  const char *attn_norm, *wq, *wk, *wv, *wo;
  const char *ffn_norm, *w_gate, *w_up, *w_down;
  const char* ignored_suffix;  // tables that follow from the configuration
};

constexpr NameTable kGgufNames = {.token_embedding = "token_embd.weight",
                                  .output_norm = "output_norm.weight",
                                  .output = "output.weight",
                                  .rope_divisors = "rope_freqs.weight",
                                  .layer = "blk.",
                                  .attn_norm = ".attn_norm.weight",
                                  .wq = ".attn_q.weight",
                                  .wk = ".attn_k.weight",
                                  .wv = ".attn_v.weight",
                                  .wo = ".attn_output.weight",
                                  .ffn_norm = ".ffn_norm.weight",
                                  .w_gate = ".ffn_gate.weight",
                                  .w_up = ".ffn_up.weight",
                                  .w_down = ".ffn_down.weight",
                                  .ignored_suffix = ".attn_rot_embd"};

constexpr NameTable kHuggingFaceNames = {.token_embedding = "model.embed_tokens.weight",
                                         .output_norm = "model.norm.weight",
                                         .output = "lm_head.weight",
                                         .rope_divisors = nullptr,
                                         .layer = "model.layers.",
                                         .attn_norm = ".input_layernorm.weight",
                                         .wq = ".self_attn.q_proj.weight",
                                         .wk = ".self_attn.k_proj.weight",
                                         .wv = ".self_attn.v_proj.weight",
                                         .wo = ".self_attn.o_proj.weight",
                                         .ffn_norm = ".post_attention_layernorm.weight",
                                         .w_gate = ".mlp.gate_proj.weight",
                                         .w_up = ".mlp.up_proj.weight",
                                         .w_down = ".mlp.down_proj.weight",
                                         .ignored_suffix = ".self_attn.rotary_emb.inv_freq"};

// Hands out tensors by name, checks their shapes, and remembers which were asked for.
class TensorTable {
 public:
  TensorTable(std::span<const StoredTensor> tensors, const std::string& file) : file_(file) {
    for (const StoredTensor& tensor : tensors) tensors_.emplace(tensor.name, &tensor);
  }

  bool Has(const std::string& name) const { return tensors_.contains(name); }

  Weight Matrix(const std::string& name, size_t rows, size_t cols) {
    const StoredTensor& tensor = Take(name, {rows, cols});
    return {tensor.type, rows, cols, tensor.data};
  }

  std::vector<float> Vector(const std::string& name, size_t n) {
    const StoredTensor& tensor = Take(name, {n});
    if (IsQuantized(tensor.type)) {
      Fail(name, "a vector cannot have this type", std::string(Name(tensor.type)),
           "f32, f16, bf16");
    }
    std::vector<float> values(n);
    DequantizeRow(tensor.type, tensor.data, n, values.data());
    return values;
  }

  void Ignore(const std::string& name) { taken_.insert(name); }

  void RefuseRest(std::string_view ignored_suffix, const std::string& arch) const {
    for (const auto& [name, tensor] : tensors_) {
      if (!taken_.contains(name) && !name.ends_with(ignored_suffix)) {
        Fail(name, fmt::format("not a tensor of a {} model; leaving it out could change the result",
                               arch));
      }
    }
  }

  [[noreturn]] void Fail(std::string_view name, const std::string& message, std::string found = {},
                         std::string allowed = {}) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .field = "tensor " + Quoted(name),
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  const StoredTensor& Take(const std::string& name, const std::vector<uint64_t>& shape) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) Fail(name, "tensor is missing");
    const StoredTensor& tensor = *found->second;
    if (tensor.shape != shape) {
      Fail(name, "wrong shape", fmt::format("[{}]", fmt::join(tensor.shape, ", ")),
           fmt::format("[{}]", fmt::join(shape, ", ")));
    }
    taken_.insert(name);
    return tensor;
  }

  const std::string& file_;
  std::map<std::string_view, const StoredTensor*> tensors_;
  std::set<std::string, std::less<>> taken_;
};

LayerWeights LoadLayer(const ModelConfig& config, const NameTable& names, size_t layer,
                       TensorTable& table) {
  const std::string prefix = names.layer + std::to_string(layer);
  LayerWeights weights;
  weights.attn_norm = table.Vector(prefix + names.attn_norm, config.hidden_size);
  weights.wq = table.Matrix(prefix + names.wq, config.q_size(), config.hidden_size);
  weights.wk = table.Matrix(prefix + names.wk, config.kv_size(), config.hidden_size);
  weights.wv = table.Matrix(prefix + names.wv, config.kv_size(), config.hidden_size);
  weights.wo = table.Matrix(prefix + names.wo, config.hidden_size, config.q_size());
  weights.ffn_norm = table.Vector(prefix + names.ffn_norm, config.hidden_size);
  weights.w_gate =
      table.Matrix(prefix + names.w_gate, config.intermediate_size, config.hidden_size);
  weights.w_up = table.Matrix(prefix + names.w_up, config.intermediate_size, config.hidden_size);
  weights.w_down =
      table.Matrix(prefix + names.w_down, config.hidden_size, config.intermediate_size);
  return weights;
}

std::vector<float> LoadRopeDivisors(const ModelConfig& config, const char* name,
                                    TensorTable& table) {
  if (name == nullptr || !table.Has(name)) return {};
  std::vector<float> divisors = table.Vector(name, config.rope.dim / 2);
  for (const float divisor : divisors) {
    if (!(std::isfinite(divisor) && divisor > 0)) {
      table.Fail(name, "bad divisor of a frequency", fmt::format("{}", divisor),
                 "finite and positive");
    }
  }
  return divisors;
}

}  // namespace

Weights LoadWeights(const ModelConfig& config, std::span<const StoredTensor> tensors,
                    TensorNames names, TiedOutput tied, const std::string& file) {
  const NameTable& table_names = names == TensorNames::kGguf ? kGgufNames : kHuggingFaceNames;
  TensorTable table(tensors, file);
  Weights weights;
  weights.token_embedding =
      table.Matrix(table_names.token_embedding, config.vocab_size, config.hidden_size);
  const bool own_output =
      tied == TiedOutput::kNo || (tied == TiedOutput::kIfAbsent && table.Has(table_names.output));
  if (own_output) {
    weights.output = table.Matrix(table_names.output, config.vocab_size, config.hidden_size);
  } else {
    weights.output = weights.token_embedding;
    table.Ignore(table_names.output);
  }
  weights.output_norm = table.Vector(table_names.output_norm, config.hidden_size);
  weights.rope_divisors = LoadRopeDivisors(config, table_names.rope_divisors, table);
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    weights.layers.push_back(LoadLayer(config, table_names, layer, table));
  }
  table.RefuseRest(table_names.ignored_suffix, config.arch);
  return weights;
}

}  // namespace spark
