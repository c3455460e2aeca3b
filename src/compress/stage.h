// What the stages of a plan are. A token stage decides which tokens of a layer stay, a channel
// stage how the keys (and values) of one head are stored. Each sees what the one before it left.
#ifndef SPARK_COMPRESS_STAGE_H_
#define SPARK_COMPRESS_STAGE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/key_pruning.h"
#include "kv/kv_cache.h"
#include "model/rope.h"

namespace spark {

// Tokens of one KV head, in the order of their positions. During prefill keys and values are as
// computed, before any rounding to a storage type.
struct HeadContext {
  const float* keys = nullptr;    // [n_tokens, head_dim], RoPE applied
  const float* values = nullptr;  // [n_tokens, head_dim]
  size_t n_tokens = 0;
  size_t head_dim = 0;
  // [window, group, head_dim], with RoPE: the last queries of the group's heads. They belong to the
  // newest tokens of the layer, which are the last of this head unless a token stage removed them.
  const float* queries = nullptr;
  size_t window = 0;
  size_t group = 0;

  size_t layer = 0;
  size_t head = 0;     // KV head
  bool begins = true;  // token 0 here is the context's first
  bool ends = true;    // the last one here is the newest
  CacheTypes types{};  // of what is stored

  // What a backend has made of ChannelStage::OnDevice(), for Compress() to take; mostly null.
  SparseStore* packed_keys = nullptr;
};

class ChannelStage {
 public:
  virtual ~ChannelStage() = default;

  // How many of the last queries Compress() needs.
  virtual size_t window() const = 0;

  // How many of the newest tokens a pass over generated tokens leaves in the dense tail.
  virtual size_t keep() const { return 0; }

  // The part of Compress() that backends can do (Backend::PackKeys()), queries left out, if keys of
  // a head of this many tokens and channels are pruned so. Compress() does it otherwise.
  virtual std::optional<KeyPruning> OnDevice(const HeadContext&) const { return std::nullopt; }

  // Packs all tokens of a head; the segments cover every token once, in order.
  // Const and without shared state: heads are compressed in parallel.
  virtual std::vector<Segment> Compress(const HeadContext& head) const = 0;
};

// rows: [count, dim]
DenseStore PackDense(DType type, const float* rows, size_t count, size_t dim);

// Tokens [first, first + count) as they are.
Segment DenseSegment(const HeadContext& head, size_t first, size_t count);

// floor(ratio * dim) channels go; the nudge makes 0.3 * 10 remove 3, though 0.3 is a little less.
inline size_t KeptChannels(double ratio, size_t dim) {
  return dim - static_cast<size_t>(ratio * static_cast<double>(dim) + 1e-9);
}

// What a token stage is given: all KV heads of a layer, of which earlier passes may have left
// different tokens.
struct LayerContext {
  std::vector<HeadContext> heads;
  size_t layer = 0;
  size_t n_layers = 0;
  size_t next_position = 0;  // of the token behind the newest one; query i of `window` stands at
                             // next_position - window + i
  const RopeConfig* rope = nullptr;
  std::span<const float> rope_frequencies;  // radians a position, RopeFrequencies()
};

// How many tokens a token stage leaves.
struct TokenBudget {
  double ratio = 0;       // share removed, [0, 1); for n_tokens == 0
  size_t n_tokens = 0;    // or: how many a head keeps
  bool adaptive = false;  // AdaKV (arXiv 2407.11550): heads of a layer share one budget by score …
  double floor = 0.2;     // … but each keeps this share of what it would have had alone

  // Of n tokens: floor((1 - ratio) * n), at least 1.
  size_t Kept(size_t n) const;
};

class TokenStage {
 public:
  explicit TokenStage(const TokenBudget& budget) : budget_(budget) {}
  virtual ~TokenStage() = default;

  const TokenBudget& budget() const { return budget_; }

  // How many of the last queries Scores() needs; kAllQueries: those of all tokens.
  virtual size_t window() const = 0;

  // How many tokens of a head stay whatever the budget says: a window of the newest, or sinks.
  virtual size_t always_kept() const { return 0; }

  // How many of `n_tokens` a head of this layer keeps: the budget, unless layers differ.
  virtual size_t LayerBudget(size_t layer, size_t n_layers, size_t n_tokens) const;

  // How much each token of a head matters, [n_tokens]; kAlwaysKept for those that must stay.
  virtual std::vector<float> Scores(const LayerContext& layer, size_t head) const = 0;

 private:
  TokenBudget budget_;
};

inline constexpr size_t kAllQueries = SIZE_MAX;
inline constexpr float kAlwaysKept = std::numeric_limits<float>::infinity();

// The tokens that stay, for every head, ascending: those with the largest scores; of equal ones the
// later. All heads together keep the sum of their budgets. Heads are scored on `threads` threads.
std::vector<std::vector<uint32_t>> SelectTokens(const TokenStage& stage, const LayerContext& layer,
                                                int threads);

}  // namespace spark

#endif  // SPARK_COMPRESS_STAGE_H_
