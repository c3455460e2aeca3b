#include "spark/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/compressor.h"
#include "compress/stage.h"
#include "kv/packed_row.h"
#include "model/config.h"
#include "spark/compression.h"
#include "spark/statistics.h"

namespace spark {
namespace {

void AddTimes(const KvBytes& bytes, size_t times, KvBytes& sum) {
  sum.key_values += times * bytes.key_values;
  sum.key_masks += times * bytes.key_masks;
  sum.key_signs += times * bytes.key_signs;
  sum.key_scalars += times * bytes.key_scalars;
  sum.values += times * bytes.values;
  sum.dense_tail += times * bytes.dense_tail;
}

// Every chunk leaves segments of its own, except in layers that hold a window. A budget in tokens
// is one of the whole context, though, and how it is spread over chunks depends on the data: then
// the context is taken as one.
KvBytes ContextBytes(const Model& model, const SessionOptions& options, size_t n, size_t chunk) {
  const auto estimate = [&](size_t tokens, CountedLayers layers) {
    return EstimateKvBytes(model.info(), options.plan, options.cache_type_k, options.cache_type_v,
                           tokens, layers);
  };
  const TokenStage* stage = options.plan.token_stage();
  if (n == chunk || (stage != nullptr && stage->budget().n_tokens > 0)) {
    return estimate(n, CountedLayers::kAll);
  }
  KvBytes bytes = estimate(n, CountedLayers::kWindowed);
  AddTimes(estimate(chunk, CountedLayers::kGlobal), n / chunk, bytes);
  if (n % chunk > 0) AddTimes(estimate(n % chunk, CountedLayers::kGlobal), 1, bytes);
  return bytes;
}

// What TailTypes() of a session stores a waiting token as: quantised types wait in f16.
uint64_t TailRowBytes(CacheType type, size_t head_dim) {
  const DType stored = ToDType(type);
  return PackedRowBytes(IsQuantized(stored) ? DType::kF16 : stored, head_dim);
}

// A tail of every layer, as TailTypes() of a session stores it: quantised types wait in f16.
uint64_t TailBytes(const ModelConfig& config, const SessionOptions& options, size_t n_tokens) {
  return n_tokens * config.n_layers * config.n_kv_heads *
         (TailRowBytes(options.cache_type_k, config.head_dim) +
          TailRowBytes(options.cache_type_v, config.head_dim));
}

// Of activations the host keeps a part: keys and values on their way into the cache. Beside those
// that it counts in full there are, of a tile, rows in f16 with a scale each, and the rotations of
// two kinds of layers; sums of a token's attention; the tile of weights that is in f16.
uint64_t GpuScratch(const ModelConfig& config, const SessionOptions& options,
                    const MemoryPlan& plan) {
  constexpr uint64_t kLogitsRows = 64;          // of a context whose logits are asked for
  constexpr uint64_t kHalfWeights = 64u << 20;  // a tile of a matrix in f16, at most
  constexpr uint64_t kShares = 64;              // of a row of attention, at most
  const uint64_t tile = std::max<uint64_t>(kLogitsRows, std::min(options.batch_size, plan.chunk));
  const uint64_t widest = std::max({config.hidden_size, config.intermediate_size, config.q_size()});
  const uint64_t largest = std::max<uint64_t>(widest, config.vocab_size) * config.hidden_size;
  const uint64_t half = options.compute_f32 ? 0
                                            : tile * (widest * 2 + sizeof(float)) +
                                                  std::min(kHalfWeights, largest * 2);
  const uint64_t rotations = 2 * tile * config.head_dim * sizeof(float);
  const uint64_t shares = kShares * config.n_heads * (config.head_dim + 2) * sizeof(float);
  const uint64_t logits = kLogitsRows * (config.vocab_size + config.hidden_size) * sizeof(float);
  return plan.scratch + half + rotations + shares + logits + plan.chunk * sizeof(int32_t);
}

// The caches that a pass needs on the device are those of the host.
void PlanGpu(const Model& model, const SessionOptions& options, MemoryPlan& plan) {
  if (options.backend != "cuda") return;
  const ModelConfig& config = model.config();
  plan.gpu_weights = plan.weights;
  const size_t grown = plan.tail_tokens + DenseStore::GrowthStep(plan.tail_tokens);
  plan.gpu_kv = plan.kv.total() + TailBytes(config, options, grown);
  const uint64_t scalars = plan.chunk * config.n_kv_heads * sizeof(float);
  const uint64_t weights = config.kv_size() * sizeof(float);
  plan.gpu_layer = plan.dense_layer + plan.queries + scalars + weights;
  plan.gpu_scratch = GpuScratch(config, options, plan);
}

void AddLine(std::string& text, std::string_view name, uint64_t bytes, std::string_view note) {
  text +=
      fmt::format("{:<28}{:>12}{}{}\n", name, FormatBytes(bytes), note.empty() ? "" : "  ", note);
}

}  // namespace

MemoryPlan PlanMemory(const Model& model, const SessionOptions& options) {
  const ModelConfig& config = model.config();
  MemoryPlan plan;
  plan.n_tokens = options.context_size == 0 ? config.context_length : options.context_size;
  plan.weights = model.info().file_bytes;
  plan.chunk =
      options.prefill_chunk == 0 ? plan.n_tokens : std::min(options.prefill_chunk, plan.n_tokens);
  plan.kv = ContextBytes(model, options, plan.n_tokens, plan.chunk);
  const uint64_t row = 2 * config.kv_size();  // a token's key and value in one layer, elements
  for (const size_t window : config.windows()) {
    plan.kv_dense_f16 += (window == 0 ? plan.n_tokens : std::min(window, plan.n_tokens)) * row * 2;
  }
  plan.dense_layer = plan.chunk * row * sizeof(float);
  plan.queries = std::min(options.plan.window(), plan.chunk) * config.q_size() * sizeof(float);
  if (options.decode_interval > 0) {
    const ChannelStage* stage = options.plan.channel_stage();
    plan.tail_tokens = options.decode_interval + (stage == nullptr ? 0 : stage->keep());
    plan.dense_tail = TailBytes(config, options, plan.tail_tokens);
  }
  // The stream of a whole chunk goes through layer after layer; of the rest, one tile lives.
  const uint64_t tile = std::min(options.batch_size, plan.chunk);
  const uint64_t per_tile_row =
      2 * config.hidden_size + 2 * config.q_size() + row + 2 * config.intermediate_size;
  plan.scratch =
      sizeof(float) * (plan.chunk * config.hidden_size + tile * per_tile_row + config.vocab_size);
  PlanGpu(model, options, plan);
  return plan;
}

std::string GpuText(const MemoryPlan& plan) {
  std::string text;
  if (plan.gpu_total() == 0) return text;
  AddLine(text, "GPU: weights", plan.gpu_weights, "");
  AddLine(text, "GPU: KV cache", plan.gpu_kv, fmt::format("{} tokens", plan.n_tokens));
  AddLine(text, "GPU: one layer in prefill", plan.gpu_layer, "in f32, while it is compressed");
  AddLine(text, "GPU: activations", plan.gpu_scratch, "estimated");
  AddLine(text, "GPU: total", plan.gpu_total(), "");
  return text;
}

std::string ToText(const MemoryPlan& plan) {
  std::string text;
  const auto line = [&](std::string_view name, uint64_t bytes, std::string_view note) {
    AddLine(text, name, bytes, note);
  };
  line("weights", plan.weights, "mapped from the file");
  line(fmt::format("KV cache, {} tokens", plan.n_tokens), plan.kv.total(), "");
  line("  key values", plan.kv.key_values, "");
  line("  key masks", plan.kv.key_masks, "");
  line("  key signs", plan.kv.key_signs, "");
  line("  key scalars", plan.kv.key_scalars, "");
  line("  values", plan.kv.values, "");
  line("one dense layer in prefill", plan.dense_layer,
       plan.chunk == plan.n_tokens ? "" : fmt::format("a chunk of {} tokens", plan.chunk));
  if (plan.queries > 0) line("queries of that layer", plan.queries, "that the plan looks at");
  if (plan.tail_tokens > 0) {
    line("dense tail", plan.dense_tail, fmt::format("at most {} tokens", plan.tail_tokens));
  }
  line("activations", plan.scratch, "estimated");
  line("total", plan.total(), "");
  line("(KV cache, dense f16", plan.kv_dense_f16, "for comparison)");
  return text + GpuText(plan);
}

}  // namespace spark
