#include "kv/kv_cache.h"

#include <algorithm>

namespace spark {
namespace {

void AddKeyBytes(const DenseStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.AllocatedBytes();
}
void AddKeyBytes(const SparseStore& keys, KvBytes& bytes) {
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

Segment Segment::Select(std::span<const uint32_t> tokens) const {
  const auto select = [&](const auto& store) { return store.Select(tokens); };
  return {std::visit([&](const auto& s) { return KeyStore(select(s)); }, keys),
          std::visit([&](const auto& s) { return ValueStore(select(s)); }, values), level};
}

size_t HeadCache::context_size() const {
  size_t n = 0;
  for (const SegmentPtr& segment : context) n += segment->size();
  return n;
}

LayerCache::LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types, CacheTypes tail_types)
    : head_dim_(head_dim), types_(types), tail_types_(tail_types) {
  heads_.reserve(n_kv_heads);
  for (size_t h = 0; h < n_kv_heads; ++h) {
    heads_.emplace_back(HeadCache{
        {}, {}, {DenseStore(tail_types.keys, head_dim), DenseStore(tail_types.values, head_dim)}});
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
    head.tail = {DenseStore(tail_types_.keys, head_dim_),
                 DenseStore(tail_types_.values, head_dim_)};
  }
}

void LayerCache::TruncateTail(size_t n) {
  for (HeadCache& head : heads_) {
    head.tail.keys.Truncate(n);
    head.tail.values.Truncate(n);
  }
}

void LayerCache::MarkBase() {
  for (HeadCache& head : heads_) head.base = head.context;
}

void LayerCache::ResetToBase() {
  for (HeadCache& head : heads_) head.context = head.base;
  TruncateTail(0);
}

void LayerCache::AddBytes(KvBytes& bytes) const {
  const auto add = [&](const Segment& segment) {
    std::visit([&](const auto& keys) { AddKeyBytes(keys, bytes); }, segment.keys);
    bytes.values += std::visit([](const auto& s) { return s.AllocatedBytes(); }, segment.values);
  };
  for (const HeadCache& head : heads_) {
    for (const SegmentPtr& segment : head.context) add(*segment);
    for (const SegmentPtr& segment : head.base) {
      if (std::find(head.context.begin(), head.context.end(), segment) == head.context.end()) {
        add(*segment);
      }
    }
    bytes.dense_tail += head.tail.keys.AllocatedBytes() + head.tail.values.AllocatedBytes();
  }
}

KvCache::KvCache(size_t n_layers, size_t n_kv_heads, size_t head_dim, CacheTypes types,
                 CacheTypes tail_types) {
  layers_.reserve(n_layers);
  for (size_t i = 0; i < n_layers; ++i) {
    layers_.emplace_back(n_kv_heads, head_dim, types, tail_types);
  }
}

void KvCache::MarkBase() {
  for (LayerCache& layer : layers_) layer.MarkBase();
}

void KvCache::ResetToBase() {
  for (LayerCache& layer : layers_) layer.ResetToBase();
}

KvBytes KvCache::Bytes() const {
  KvBytes bytes;
  for (const LayerCache& layer : layers_) layer.AddBytes(bytes);
  return bytes;
}

}  // namespace spark
