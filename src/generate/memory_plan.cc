#include "spark/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/config.h"
#include "spark/compression.h"
#include "spark/statistics.h"

namespace spark {

MemoryPlan PlanMemory(const Model& model, const SessionOptions& options) {
  const ModelConfig& config = model.config();
  MemoryPlan plan;
  plan.n_tokens = options.context_size == 0 ? config.context_length : options.context_size;
  plan.weights = model.info().file_bytes;
  plan.kv = EstimateKvBytes(model.info(), options.plan, options.cache_type_k, options.cache_type_v,
                            plan.n_tokens);
  const uint64_t row = 2 * config.kv_size();  // a token's key and value in one layer, elements
  plan.kv_dense_f16 = plan.n_tokens * row * config.n_layers * 2;
  plan.dense_layer = plan.n_tokens * row * sizeof(float);
  // The stream of the whole context goes through layer after layer; of the rest, one tile lives.
  const uint64_t tile = std::min(options.batch_size, plan.n_tokens);
  const uint64_t per_tile_row =
      2 * config.hidden_size + 2 * config.q_size() + row + 2 * config.intermediate_size;
  plan.scratch = sizeof(float) *
                 (plan.n_tokens * config.hidden_size + tile * per_tile_row + config.vocab_size);
  return plan;
}

std::string ToText(const MemoryPlan& plan) {
  std::string text;
  const auto line = [&](std::string_view name, uint64_t bytes, std::string_view note) {
    text +=
        fmt::format("{:<28}{:>12}{}{}\n", name, FormatBytes(bytes), note.empty() ? "" : "  ", note);
  };
  line("weights", plan.weights, "mapped from the file");
  line(fmt::format("KV cache, {} tokens", plan.n_tokens), plan.kv.total(), "");
  line("  key values", plan.kv.key_values, "");
  line("  key masks", plan.kv.key_masks, "");
  line("  key signs", plan.kv.key_signs, "");
  line("  key scalars", plan.kv.key_scalars, "");
  line("  values", plan.kv.values, "");
  line("one dense layer in prefill", plan.dense_layer, "");
  line("activations", plan.scratch, "estimated");
  line("total", plan.total(), "");
  line("(KV cache, dense f16", plan.kv_dense_f16, "for comparison)");
  return text;
}

}  // namespace spark
