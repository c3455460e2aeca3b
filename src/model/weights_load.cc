#include "model/weights_load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <initializer_list>
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

// Tensors of the two kinds of file. Those of a layer go behind `layer` and its number; each is the
// stem of a ".weight" and perhaps a ".bias".
struct NameTable {
  std::vector<std::string> prefixes;  // of all names but `output`; that of the embedding decides
  const char *token_embedding, *output_norm, *output;
  const char *rope_divisors, *layer;
  const char *attn_norm, *q, *k, *v, *qkv, *o;  // qkv: rows of all three
  const char *q_norm, *k_norm, *attn_post_norm;
  const char *ffn_norm, *gate, *up, *gate_up, *down;  // gate_up: rows of both
  const char* ffn_post_norm;
  const char* ignored_suffix;  // tables that follow from the configuration
};

NameTable GgufNames() {
  return {.prefixes = {""},
          .token_embedding = "token_embd.weight",
          .output_norm = "output_norm.weight",
          .output = "output.weight",
          .rope_divisors = "rope_freqs.weight",
          .layer = "blk.",
          .attn_norm = ".attn_norm",
          .q = ".attn_q",
          .k = ".attn_k",
          .v = ".attn_v",
          .qkv = ".attn_qkv",
          .o = ".attn_output",
          .q_norm = ".attn_q_norm",
          .k_norm = ".attn_k_norm",
          .attn_post_norm = ".post_attention_norm",
          .ffn_norm = ".ffn_norm",
          .gate = ".ffn_gate",
          .up = ".ffn_up",
          .gate_up = ".ffn_up",  // fused if it has the rows of both
          .down = ".ffn_down",
          .ffn_post_norm = ".post_ffw_norm",
          .ignored_suffix = ".attn_rot_embd"};
}

// "post_attention_layernorm" stands before the MLP where there are no norms behind attention, and
// behind attention where there are.
NameTable HuggingFaceNames(bool post_norms) {
  return {.prefixes = {"model.", "language_model.model.", "model.language_model."},
          .token_embedding = "embed_tokens.weight",
          .output_norm = "norm.weight",
          .output = "lm_head.weight",
          .rope_divisors = nullptr,
          .layer = "layers.",
          .attn_norm = ".input_layernorm",
          .q = ".self_attn.q_proj",
          .k = ".self_attn.k_proj",
          .v = ".self_attn.v_proj",
          .qkv = ".self_attn.qkv_proj",
          .o = ".self_attn.o_proj",
          .q_norm = ".self_attn.q_norm",
          .k_norm = ".self_attn.k_norm",
          .attn_post_norm = ".post_attention_layernorm",
          .ffn_norm = post_norms ? ".pre_feedforward_layernorm" : ".post_attention_layernorm",
          .gate = ".mlp.gate_proj",
          .up = ".mlp.up_proj",
          .gate_up = ".mlp.gate_up_proj",
          .down = ".mlp.down_proj",
          .ffn_post_norm = ".post_feedforward_layernorm",
          .ignored_suffix = ".self_attn.rotary_emb.inv_freq"};
}

// Hands out tensors by name, checks their shapes, and remembers which were asked for.
class TensorTable {
 public:
  TensorTable(std::span<const StoredTensor> tensors, const std::string& file) : file_(file) {
    for (const StoredTensor& tensor : tensors) tensors_.emplace(tensor.name, &tensor);
  }

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  bool HasRows(const std::string& name, size_t rows) const {
    const auto found = tensors_.find(name);
    return found != tensors_.end() && !found->second->shape.empty() &&
           found->second->shape.front() == rows;
  }

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
  template <typename Predicate>
  void IgnoreIf(const Predicate& predicate) {
    for (const auto& [name, tensor] : tensors_) {
      if (predicate(name)) taken_.insert(std::string(name));
    }
  }

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

// Rows [first, first + n) of a matrix.
Weight Rows(const Weight& w, size_t first, size_t n) {
  return {w.type, n, w.cols, w.data + first * *RowBytes(w.type, w.cols)};
}

// One layer's tensors by stem.
class LayerTable {
 public:
  LayerTable(const ModelConfig& config, std::string prefix, TensorTable& table)
      : config_(config), prefix_(std::move(prefix)), table_(table) {}

  Weight Matrix(const char* stem, size_t rows, size_t cols) {
    return table_.Matrix(prefix_ + stem + ".weight", rows, cols);
  }
  std::vector<float> Bias(bool has, const char* stem, size_t n) {
    return has ? table_.Vector(prefix_ + stem + ".bias", n) : std::vector<float>();
  }
  std::vector<float> Norm(bool has, const char* stem, size_t n) {
    if (!has) return {};
    std::vector<float> weights = table_.Vector(prefix_ + stem + ".weight", n);
    for (float& w : weights) w += config_.stored_norm_offset;
    return weights;
  }

  // Matrices of the same width that may be stored as one, under `fused`.
  struct Part {
    const char* stem;
    size_t rows;
    Weight& weight;
    std::vector<float>& bias;
  };
  void Parts(const char* fused, size_t cols, bool has_bias, std::initializer_list<Part> parts) {
    size_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    if (!table_.HasRows(prefix_ + fused + ".weight", rows)) {
      for (const Part& part : parts) {
        part.weight = Matrix(part.stem, part.rows, cols);
        part.bias = Bias(has_bias, part.stem, part.rows);
      }
      return;
    }
    const Weight all = Matrix(fused, rows, cols);
    const std::vector<float> bias = Bias(has_bias, fused, rows);
    size_t first = 0;
    for (const Part& part : parts) {
      part.weight = Rows(all, first, part.rows);
      if (has_bias) part.bias.assign(bias.data() + first, bias.data() + first + part.rows);
      first += part.rows;
    }
  }

 private:
  const ModelConfig& config_;
  std::string prefix_;
  TensorTable& table_;
};

LayerWeights LoadLayer(const ModelConfig& config, const NameTable& names, LayerTable table) {
  const size_t hidden = config.hidden_size;
  const size_t intermediate = config.intermediate_size;
  const bool qk_norm = config.qk_norm != QkNorm::kNone;
  const bool per_head = config.qk_norm == QkNorm::kHead;
  LayerWeights w;
  w.attn_norm = table.Norm(config.pre_norms, names.attn_norm, hidden);
  table.Parts(names.qkv, hidden, config.qkv_bias,
              {{names.q, config.q_size(), w.wq, w.bq},
               {names.k, config.kv_size(), w.wk, w.bk},
               {names.v, config.kv_size(), w.wv, w.bv}});
  w.wo = table.Matrix(names.o, hidden, config.q_size());
  w.bo = table.Bias(config.attn_output_bias, names.o, hidden);
  w.q_norm = table.Norm(qk_norm, names.q_norm, per_head ? config.head_dim : config.q_size());
  w.k_norm = table.Norm(qk_norm, names.k_norm, per_head ? config.head_dim : config.kv_size());
  w.attn_post_norm = table.Norm(config.post_norms, names.attn_post_norm, hidden);

  w.ffn_norm = table.Norm(config.pre_norms, names.ffn_norm, hidden);
  table.Parts(
      names.gate_up, hidden, config.mlp_bias,
      {{names.gate, intermediate, w.w_gate, w.b_gate}, {names.up, intermediate, w.w_up, w.b_up}});
  w.w_down = table.Matrix(names.down, hidden, intermediate);
  w.b_down = table.Bias(config.mlp_bias, names.down, hidden);
  w.ffn_post_norm = table.Norm(config.post_norms, names.ffn_post_norm, hidden);
  return w;
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

// A model that also sees has its text part under a longer prefix; the rest is left out.
std::string FindPrefix(const NameTable& names, TensorTable& table) {
  const std::string& usual = names.prefixes.front();
  for (const std::string& prefix : names.prefixes) {
    if (!table.Has(prefix + names.token_embedding)) continue;
    if (prefix != usual) {
      table.IgnoreIf([](std::string_view name) {
        return name.find("vision_tower.") != std::string_view::npos ||
               name.find("multi_modal_projector.") != std::string_view::npos;
      });
      table.Ignore("language_model.lm_head.weight");  // tied in all of these
    }
    return prefix;
  }
  return usual;
}

}  // namespace

Weights LoadWeights(const ModelConfig& config, std::span<const StoredTensor> tensors,
                    TensorNames names, TiedOutput tied, const std::string& file) {
  const NameTable table_names =
      names == TensorNames::kGguf ? GgufNames() : HuggingFaceNames(config.post_norms);
  TensorTable table(tensors, file);
  const std::string prefix = FindPrefix(table_names, table);
  Weights weights;
  weights.token_embedding =
      table.Matrix(prefix + table_names.token_embedding, config.vocab_size, config.hidden_size);
  const bool own_output =
      tied == TiedOutput::kNo || (tied == TiedOutput::kIfAbsent && table.Has(table_names.output));
  if (own_output) {
    weights.output = table.Matrix(table_names.output, config.vocab_size, config.hidden_size);
  } else {
    weights.output = weights.token_embedding;
    table.Ignore(table_names.output);
  }
  weights.output_norm = table.Vector(prefix + table_names.output_norm, config.hidden_size);
  for (float& w : weights.output_norm) w += config.stored_norm_offset;
  weights.rope_divisors = LoadRopeDivisors(config, table_names.rope_divisors, table);
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    LayerTable layer_table(config, prefix + table_names.layer + std::to_string(layer), table);
    weights.layers.push_back(LoadLayer(config, table_names, std::move(layer_table)));
  }
  table.RefuseRest(table_names.ignored_suffix, config.arch);
  return weights;
}

}  // namespace spark
