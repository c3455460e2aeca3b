#include "kv/kv_cache.h"

#include <algorithm>
#include <numeric>

#include "kv/merge.h"
#include "spark/error.h"

namespace spark {
namespace {

void AddKeyBytes(const DenseStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.AllocatedBytes();
}
template <class Store>  // SparseStore or LaneStore
void AddKeyBytes(const Store& keys, KvBytes& bytes) {
  bytes.key_values += keys.ValueBytes();
  bytes.key_masks += keys.MaskPlaneBytes();
  bytes.key_signs += keys.SignPlaneBytes();
  bytes.key_scalars += keys.ScalarBytes();
}
void AddKeyBytes(const DroppedKeyStore& keys, KvBytes& bytes) {
  bytes.key_values += keys.ValueBytes();
  bytes.key_masks += keys.ChannelBytes();
}

// Room for n rows more than there are, growing in steps, but not beyond `most` rows if they will
// do.
void ReserveMore(DenseStore& store, size_t n, size_t most) {
  const size_t needed = store.size() + n;
  if (needed <= store.capacity()) return;
  const size_t step = DenseStore::GrowthStep(store.capacity());
  store.Reserve(std::max(needed, std::min(most, store.capacity() + step)));
}

// The same tokens in another type.
DenseStore Convert(const DenseStore& from, DType type, size_t room) {
  if (from.type() == type && room == 0) return from.Slice(0, from.size());
  DenseStore to(type, from.dim());
  to.Reserve(from.size() + room);
  std::vector<float> row(from.dim());
  for (size_t t = 0; t < from.size(); ++t) {
    from.ReadRow(t, row.data());
    to.Append(row.data(), 1, from.dim());
  }
  return to;
}

// The tokens of a segment `times` times over, in memory of their own: one segment if such segments
// can merge, else as many.
void AppendCopies(const SegmentPtr& segment, size_t times, std::vector<SegmentPtr>& out) {
  if (CanMerge(*segment, *segment)) {
    Segment joined = Merge(std::vector<SegmentPtr>(times, segment));
    joined.level = segment->level;
    out.push_back(std::make_shared<const Segment>(std::move(joined)));
    return;
  }
  std::vector<uint32_t> all(segment->size());
  std::iota(all.begin(), all.end(), 0u);
  for (size_t i = 0; i < times; ++i) {
    out.push_back(std::make_shared<const Segment>(segment->Select(all)));
  }
}

}  // namespace

Segment Segment::Select(std::span<const uint32_t> tokens) const {
  const auto select = [&](const auto& store) { return store.Select(tokens); };
  return {std::visit([&](const auto& s) { return KeyStore(select(s)); }, keys),
          std::visit([&](const auto& s) { return ValueStore(select(s)); }, values), level,
          positions.Select(tokens)};
}

size_t HeadCache::context_size() const {
  size_t n = 0;
  for (const SegmentPtr& segment : context) n += segment->size();
  return n;
}

LayerCache::LayerCache(size_t n_kv_heads, size_t head_dim, CacheTypes types, CacheTypes tail_types,
                       size_t window)
    : head_dim_(head_dim), types_(types), tail_types_(tail_types), window_(window) {
  heads_.reserve(n_kv_heads);
  for (size_t h = 0; h < n_kv_heads; ++h) {
    heads_.push_back(
        {{},
         {},
         {DenseStore(tail_types.keys, head_dim), DenseStore(tail_types.values, head_dim)},
         {}});
  }
}

void LayerCache::Append(const float* k, const float* v, size_t n) {
  const size_t stride = heads_.size() * head_dim_;
  const bool full = window_ > 0 && !whole_ && tail_size() == window_;
  for (size_t h = 0; h < heads_.size(); ++h) {
    Tail& tail = heads_[h].tail;
    const float* key = k + h * head_dim_;
    const float* value = v + h * head_dim_;
    if (full && n == 1) {
      tail.keys.Overwrite(oldest_, key);
      tail.values.Overwrite(oldest_, value);
      continue;
    }
    Straighten(tail);
    const size_t most = window_ > 0 && !whole_ ? window_ : SIZE_MAX;
    ReserveMore(tail.keys, n, most);
    ReserveMore(tail.values, n, most);
    tail.keys.Append(key, n, stride);
    tail.values.Append(value, n, stride);
  }
  oldest_ = full && n == 1 ? (oldest_ + 1) % window_ : 0;
  next_position_ += n;
}

// Oldest token first.
void LayerCache::Straighten(Tail& tail) const {
  if (oldest_ == 0) return;
  Tail straight = tail.Slice(oldest_, tail.size() - oldest_);
  const Tail rest = tail.Slice(0, oldest_);
  straight.keys.Append(rest.keys);
  straight.values.Append(rest.values);
  tail = std::move(straight);
}

void LayerCache::StraightenTail() {
  for (HeadCache& head : heads_) Straighten(head.tail);
  oldest_ = 0;
}

void LayerCache::CutToWindow() {
  for (HeadCache& head : heads_) {
    const size_t n = head.tail.size();
    if (n > window_) head.tail = head.tail.Slice(n - window_, window_);
  }
}

void LayerCache::Trim(size_t step) {
  if (window_ == 0 || whole_ || next_position_ == 0) return;
  CutToWindow();
  const size_t first = FirstVisible(next_position_ - 1);
  for (HeadCache& head : heads_) {
    std::erase_if(head.context, [&](const SegmentPtr& s) {
      return s->positions.CountBefore(first) == s->size();
    });
    for (SegmentPtr& segment : head.context) {
      const size_t gone = segment->positions.CountBefore(first);
      if (gone < step) continue;
      std::vector<uint32_t> left(segment->size() - gone);
      std::iota(left.begin(), left.end(), static_cast<uint32_t>(gone));
      segment = std::make_shared<const Segment>(segment->Select(left));
    }
  }
}

void LayerCache::OpenContext(size_t n, bool whole) {
  whole_ = whole && window_ > 0;
  StraightenTail();
  for (HeadCache& head : heads_) {
    const size_t room = window_ == 0 || whole_ ? n : std::min(n, window_);
    head.tail = {Convert(head.tail.keys, DType::kF32, room),
                 Convert(head.tail.values, DType::kF32, room)};
  }
}

void LayerCache::OpenTail() {
  whole_ = false;
  for (HeadCache& head : heads_) {
    head.tail = {Convert(head.tail.keys, tail_types_.keys, 0),
                 Convert(head.tail.values, tail_types_.values, 0)};
  }
}

void LayerCache::CopyTails(const LayerCache& other) {
  for (size_t h = 0; h < heads_.size(); ++h) {
    const Tail& tail = other.heads_[h].tail;
    heads_[h].tail = tail.Slice(0, tail.size());
  }
  next_position_ = other.next_position_;
  oldest_ = other.oldest_;
  whole_ = other.whole_;
}

void LayerCache::TruncateTail(size_t n) {
  next_position_ -= tail_size() - std::min(n, tail_size());
  for (HeadCache& head : heads_) {
    head.tail.keys.Truncate(n);
    head.tail.values.Truncate(n);
  }
}

void LayerCache::SetContext(std::vector<std::vector<SegmentPtr>> heads, size_t n_tokens,
                            bool in_tail) {
  next_position_ = n_tokens;
  for (size_t h = 0; h < heads_.size(); ++h) {
    if (!in_tail) {
      heads_[h].context = std::move(heads[h]);
      continue;
    }
    const Segment* window = heads[h].size() == 1 ? heads[h].front().get() : nullptr;
    const auto* keys = window == nullptr ? nullptr : std::get_if<DenseStore>(&window->keys);
    const auto* values = window == nullptr ? nullptr : std::get_if<DenseStore>(&window->values);
    if (keys == nullptr || values == nullptr || keys->type() != tail_types_.keys ||
        values->type() != tail_types_.values || keys->size() != std::min(window_, n_tokens)) {
      throw Error("a layer with a window does not hold just that window");
    }
    heads_[h].tail = {keys->Slice(0, keys->size()), values->Slice(0, values->size())};
  }
}

void LayerCache::RepeatContext(size_t times) {
  next_position_ *= times;
  for (HeadCache& head : heads_) {
    std::vector<SegmentPtr> longer;
    for (const SegmentPtr& segment : head.context) AppendCopies(segment, times, longer);
    head.context = std::move(longer);
  }
}

void LayerCache::MarkBase() {
  for (HeadCache& head : heads_) {
    head.base = head.context;
    if (window_ > 0) head.base_tail = head.tail.Slice(0, head.tail.size());
  }
  base_position_ = next_position_;
}

void LayerCache::ResetToBase() {
  TruncateTail(0);
  for (HeadCache& head : heads_) {
    head.context = head.base;
    if (head.base_tail) head.tail = head.base_tail->Slice(0, head.base_tail->size());
  }
  next_position_ = base_position_;
  oldest_ = 0;
}

void LayerCache::AddBytes(KvBytes& bytes) const {
  const auto add = [&](const Segment& segment) {
    std::visit([&](const auto& keys) { AddKeyBytes(keys, bytes); }, segment.keys);
    bytes.values += std::visit([](const auto& s) { return s.AllocatedBytes(); }, segment.values);
    bytes.key_masks += segment.positions.AllocatedBytes();
  };
  for (const HeadCache& head : heads_) {
    for (const SegmentPtr& segment : head.context) add(*segment);
    for (const SegmentPtr& segment : head.base) {
      if (std::find(head.context.begin(), head.context.end(), segment) == head.context.end()) {
        add(*segment);
      }
    }
    if (window_ == 0) {
      bytes.dense_tail += head.tail.keys.AllocatedBytes() + head.tail.values.AllocatedBytes();
      continue;
    }
    for (const Tail* tail : {&head.tail, head.base_tail ? &*head.base_tail : nullptr}) {
      if (tail == nullptr) continue;
      bytes.key_values += tail->keys.AllocatedBytes();
      bytes.values += tail->values.AllocatedBytes();
    }
  }
}

KvCache::KvCache(std::span<const size_t> windows, size_t n_kv_heads, size_t head_dim,
                 CacheTypes types, CacheTypes tail_types, CacheTypes window_types) {
  layers_.reserve(windows.size());
  for (const size_t window : windows) {
    layers_.emplace_back(n_kv_heads, head_dim, types, window > 0 ? window_types : tail_types,
                         window);
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
