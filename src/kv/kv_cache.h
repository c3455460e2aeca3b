// The KV cache: every layer and KV head owns a list of segments, each with its own length and
// layout.
//
//   KvCache ─ LayerCache (one a layer) ─ HeadCache (one a KV head)
//                                          context: closed segments, compressed, immutable
//                                          tail:    open dense segment, newest tokens in order
//
// Attention is a fold over context and tail. It does not care about the order of context tokens;
// only the tail is causal. Rotary positions are inside the keys, so tokens can be left out.
//
// A layer with a sliding window holds no more tokens than the window. Unless a plan compresses it,
// all of them are in its tail, which is a ring then: a new token takes the oldest one's place.
#ifndef SPARK_KV_KV_CACHE_H_
#define SPARK_KV_KV_CACHE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "kv/dense_store.h"
#include "kv/dropped_store.h"
#include "kv/lane_store.h"
#include "kv/sparse_store.h"
#include "kv/token_positions.h"
#include "spark/kv_cache.h"

namespace spark {

using KeyStore = std::variant<DenseStore, SparseStore, DroppedKeyStore, LaneStore>;
using ValueStore = std::variant<DenseStore, SparseStore>;

template <class Store>  // KeyStore or ValueStore
size_t Size(const Store& store) {
  return std::visit([](const auto& s) { return s.size(); }, store);
}
// Token t as attention sees it. out: [head_dim]
template <class Store>
void ReadRow(const Store& store, size_t t, float* out) {
  std::visit([&](const auto& s) { s.ReadRow(t, out); }, store);
}

// Keys and values of the same tokens. Keys carry RoPE.
struct Segment {
  KeyStore keys;
  ValueStore values;
  // 0: of the context. 1: left by a pass over generated tokens. l + 1: merged from such of level l.
  uint8_t level = 0;
  TokenPositions positions{};  // known in layers with a window
  size_t size() const { return Size(keys); }
  // The tokens with these numbers, ascending; nothing is rounded again.
  Segment Select(std::span<const uint32_t> tokens) const;
};
// Segments never change, so a cache and a copy of an earlier state of it share them.
using SegmentPtr = std::shared_ptr<const Segment>;

// An open, dense segment.
struct Tail {
  DenseStore keys;
  DenseStore values;
  size_t size() const { return values.size(); }
  Tail Slice(size_t first, size_t n) const {
    return {keys.Slice(first, n), values.Slice(first, n)};
  }
};

struct HeadCache {
  std::vector<SegmentPtr> context;
  std::vector<SegmentPtr> base;  // what ResetToBase() goes back to
  Tail tail;
  std::optional<Tail> base_tail{};  // the same, in layers with a window, whose tail is context

  size_t context_size() const;  // tokens
  size_t size() const { return context_size() + tail.size(); }
};

// Types that closed dense segments, kept values and the tail are stored in.
struct CacheTypes {
  DType keys = DType::kF16;
  DType values = DType::kF16;
};

class LayerCache {
 public:
  // Tails are stored as `tail_types`, closed segments as `types`. `window`: how many tokens a token
  // sees, itself included; 0: all.
  LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types, CacheTypes tail_types,
             size_t window = 0);
  LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types)
      : LayerCache(n_kv_heads, head_dim, types, types) {}

  size_t head_dim() const { return head_dim_; }
  size_t window() const { return window_; }
  size_t tail_size() const { return heads_.front().tail.size(); }  // tokens; every head has as many
  size_t next_position() const { return next_position_; }          // of the token to come
  // Of the first token that a query at `position` sees.
  size_t FirstVisible(size_t position) const {
    return window_ == 0 || position < window_ ? 0 : position + 1 - window_;
  }
  CacheTypes types() const { return types_; }
  std::vector<HeadCache>& heads() { return heads_; }
  const std::vector<HeadCache>& heads() const { return heads_; }

  // k, v: [n, n_kv_heads, head_dim], keys with RoPE. Appended to every head's tail. In a layer with
  // a window a single token takes the place of the oldest one if the tail is full; more of them go
  // behind all others, so that their queries find the tail in order, until Trim().
  void Append(const float* k, const float* v, size_t n);

  // Lets go of tokens that the newest one did not see. A closed segment is cut, which copies it,
  // when `step` of its tokens are out of sight.
  void Trim(size_t step = 64);

  // Replaces the tails by f32 ones with room for n tokens more: during prefill a layer computes
  // with exact keys, and a policy sees them as they were. OpenTail() ends it. `whole`: until then,
  // a window keeps what it has left behind, because a policy looks at all of the context.
  void OpenContext(size_t n, bool whole = false);
  void StraightenTail();  // puts a tail that has wrapped around in order, oldest token first
  // In a layer with a window: forgets all but the newest tokens of the tail, as many as are seen.
  void CutToWindow();
  // Gives every head a tail of the tails' types, with the tokens that are still in it: whoever
  // compressed has moved the others into closed segments.
  void OpenTail();

  // Takes a copy of another layer's tails, while this one has held nothing: what a layer has
  // computed during prefill is compressed by several plans.
  void CopyTails(const LayerCache& other);

  void TruncateTail(size_t n);  // forgets the newest tokens

  // Makes closed segments `times` as long by copies of their tokens, and goes on that much further
  // away: decoding then takes the time that such a context takes. A window's tail stays as it is.
  void RepeatContext(size_t times);

  // Puts the segments of a context of n_tokens in place. `in_tail`: the one segment of each head is
  // a window that belongs in the tail; throws Error if it is not one.
  void SetContext(std::vector<std::vector<SegmentPtr>> heads, size_t n_tokens, bool in_tail);

  void MarkBase();     // remembers the context as it is
  void ResetToBase();  // back to it, with an empty tail

  // Segments that only the remembered context still has count as well. The tail of a layer with a
  // window counts as keys and values: it is the context.
  void AddBytes(KvBytes& bytes) const;

 private:
  void Straighten(Tail& tail) const;

  size_t head_dim_;
  CacheTypes types_;
  CacheTypes tail_types_;
  size_t window_;
  size_t next_position_ = 0;
  size_t base_position_ = 0;
  bool whole_ = false;  // see OpenContext()
  size_t oldest_ = 0;   // row of the tail's first token, if it has wrapped around
  std::vector<HeadCache> heads_;
};

class KvCache {
 public:
  // windows: [n_layers], 0: none. Tails of layers that have one are stored as `window_types`.
  KvCache(std::span<const size_t> windows, size_t n_kv_heads, size_t head_dim, CacheTypes types,
          CacheTypes tail_types, CacheTypes window_types);
  KvCache(size_t n_layers, size_t n_kv_heads, size_t head_dim, CacheTypes types)
      : KvCache(std::vector<size_t>(n_layers), n_kv_heads, head_dim, types, types, types) {}

  std::vector<LayerCache>& layers() { return layers_; }
  const std::vector<LayerCache>& layers() const { return layers_; }

  void MarkBase();
  void ResetToBase();
  KvBytes Bytes() const;

 private:
  std::vector<LayerCache> layers_;
};

}  // namespace spark

#endif  // SPARK_KV_KV_CACHE_H_
