#include "kv/kv_cache.h"

namespace spark {
namespace {

void AddKeyBytes(const DenseStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.AllocatedBytes();
}
void AddKeyBytes(const SparseKeyStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.ValueBytes();
  bytes.key_masks += keys.MaskPlaneBytes();
  bytes.key_signs += keys.SignPlaneBytes();
  bytes.key_scalars += keys.ScalarBytes();
}
void AddKeyBytes(const DroppedKeyStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.ValueBytes();
  bytes.key_masks += keys.ChannelBytes();
}

}  // namespace

size_t HeadCache::size() const {
  size_t n = tail.size();
  for (const Segment& segment : context) n += segment.size();
  return n;
}

LayerCache::LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types)
    : head_dim_(head_dim), types_(types) {
  heads_.reserve(n_kv_heads);
  for (size_t h = 0; h < n_kv_heads; ++h) {
    heads_.push_back({{}, {DenseStore(types.keys, head_dim), DenseStore(types.values, head_dim)}});
  }
}

void LayerCache::Append(const float* k, const float* v, size_t n) {
  const size_t stride = heads_.size() * head_dim_;
  for (size_t h = 0; h < heads_.size(); ++h) {
    heads_[h].tail.keys.Append(k + h * head_dim_, n, stride);
    heads_[h].tail.values.Append(v + h * head_dim_, n, stride);
  }
}

void LayerCache::OpenContext(size_t n) {
  for (HeadCache& head : heads_) {
    head.tail = {DenseStore(DType::kF32, head_dim_), DenseStore(DType::kF32, head_dim_)};
    head.tail.keys.Reserve(n);
    head.tail.values.Reserve(n);
  }
}

void LayerCache::OpenTail() {
  for (HeadCache& head : heads_) {
    head.tail = {DenseStore(types_.keys, head_dim_), DenseStore(types_.values, head_dim_)};
  }
}

void LayerCache::TruncateTail(size_t n) {
  for (HeadCache& head : heads_) {
    head.tail.keys.Truncate(n);
    head.tail.values.Truncate(n);
  }
}

void LayerCache::AddBytes(KvBytes& bytes) const {
  for (const HeadCache& head : heads_) {
    for (const Segment& segment : head.context) {
      std::visit([&](const auto& keys) { AddKeyBytes(keys, bytes); }, segment.keys);
      bytes.values += segment.values.AllocatedBytes();
    }
    bytes.dense_tail += head.tail.keys.AllocatedBytes() + head.tail.values.AllocatedBytes();
  }
}

KvCache::KvCache(size_t n_layers, size_t n_kv_heads, size_t head_dim, CacheTypes types) {
  layers_.reserve(n_layers);
  for (size_t i = 0; i < n_layers; ++i) layers_.emplace_back(n_kv_heads, head_dim, types);
}

void KvCache::TruncateTail(size_t n) {
  for (LayerCache& layer : layers_) layer.TruncateTail(n);
}

KvBytes KvCache::Bytes() const {
  KvBytes bytes;
  for (const LayerCache& layer : layers_) layer.AddBytes(bytes);
  return bytes;
}

}  // namespace spark
