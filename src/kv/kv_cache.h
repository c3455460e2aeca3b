// The KV cache: every layer and KV head owns a list of segments, each with its own length and
// layout.
//
//   KvCache ─ LayerCache (one a layer) ─ HeadCache (one a KV head)
//                                          context: closed segments, compressed, never changed
//                                          again tail:    open dense segment, newest tokens in
//                                          order
//
// Attention is a fold over context and tail. It does not care about the order of context tokens, so
// they may be regrouped; only the tail is causal. Rotary positions are inside the keys.
#ifndef SPARK_KV_KV_CACHE_H_
#define SPARK_KV_KV_CACHE_H_

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "kv/dense_store.h"
#include "kv/dropped_store.h"
#include "kv/sparse_store.h"
#include "spark/kv_cache.h"

namespace spark {

using KeyStore = std::variant<DenseStore, SparseKeyStore, DroppedKeyStore>;

inline size_t Size(const KeyStore& keys) {
  return std::visit([](const auto& store) { return store.size(); }, keys);
}
// The key of token t as a score sees it. out: [head_dim]
inline void ReadRow(const KeyStore& keys, size_t t, float* out) {
  std::visit([&](const auto& store) { store.ReadRow(t, out); }, keys);
}

// Keys and values of the same tokens. Keys carry RoPE.
struct Segment {
  KeyStore keys;
  DenseStore values;
  size_t size() const { return values.size(); }
};

// An open, dense segment.
struct Tail {
  DenseStore keys;
  DenseStore values;
  size_t size() const { return values.size(); }
};

struct HeadCache {
  std::vector<Segment> context;
  Tail tail;

  size_t size() const;  // tokens
};

// Types that closed dense segments, kept values and the tail are stored in.
struct CacheTypes {
  DType keys = DType::kF16;
  DType values = DType::kF16;
};

class LayerCache {
 public:
  LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types);

  size_t head_dim() const { return head_dim_; }
  CacheTypes types() const { return types_; }
  std::vector<HeadCache>& heads() { return heads_; }
  const std::vector<HeadCache>& heads() const { return heads_; }

  // k, v: [n, n_kv_heads, head_dim], keys with RoPE. Appended to every head's tail.
  void Append(const float* k, const float* v, size_t n);

  // Replaces the empty tails by f32 ones with room for n tokens: during prefill a layer computes
  // with exact keys, and a policy sees them as they were. OpenTail() ends it.
  void OpenContext(size_t n);
  // Gives every head an empty tail of the stored types. Whoever compressed has moved the tail's
  // tokens into closed segments.
  void OpenTail();

  void TruncateTail(size_t n);
  void AddBytes(KvBytes& bytes) const;

 private:
  size_t head_dim_;
  CacheTypes types_;
  std::vector<HeadCache> heads_;
};

class KvCache {
 public:
  KvCache(size_t n_layers, size_t n_kv_heads, size_t head_dim, CacheTypes types);

  std::vector<LayerCache>& layers() { return layers_; }
  const std::vector<LayerCache>& layers() const { return layers_; }

  size_t TailSize() const { return layers_.front().heads().front().tail.size(); }
  void TruncateTail(size_t n);
  KvBytes Bytes() const;

 private:
  std::vector<LayerCache> layers_;
};

}  // namespace spark

#endif  // SPARK_KV_KV_CACHE_H_
