#include "kv/merge.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace spark {
namespace {

bool SameForm(const DenseStore& a, const DenseStore& b) { return a.type() == b.type(); }
// Samples belong to the numbers that tokens had when they were packed, and a centre to its tokens.
bool SameForm(const SparseStore& a, const SparseStore& b) {
  const auto plain = [](const SparseStore& s) { return !s.sampled() && s.centre() == nullptr; };
  return a.value_type() == b.value_type() && a.recovery() == b.recovery() && plain(a) && plain(b);
}
bool SameForm(const LaneStore& a, const LaneStore& b) {
  return a.n_kept() == b.n_kept() && a.centre() == nullptr && b.centre() == nullptr;
}
bool SameForm(const DroppedKeyStore& a, const DroppedKeyStore& b) {
  return a.rows().type() == b.rows().type();
}

template <class Variant>
bool SameStore(const Variant& a, const Variant& b) {
  return std::visit(
      [&](const auto& store) {
        const auto* other = std::get_if<std::decay_t<decltype(store)>>(&b);
        return other != nullptr && SameForm(store, *other);
      },
      a);
}

DenseStore Join(std::span<const DenseStore* const> stores) {
  DenseStore joined(stores[0]->type(), stores[0]->dim());
  size_t n = 0;
  for (const DenseStore* store : stores) n += store->size();
  joined.Reserve(n);
  for (const DenseStore* store : stores) joined.Append(*store);
  return joined;
}

SparseStore Join(std::span<const SparseStore* const> stores) {
  return SparseStore::Concatenate(stores);
}

LaneStore Join(std::span<const LaneStore* const> stores) { return LaneStore::Concatenate(stores); }

DroppedKeyStore Join(std::span<const DroppedKeyStore* const> stores) {
  const DroppedKeyStore& newest = *stores.back();
  DroppedKeyStore joined(newest.channels(), newest.rows().type(), newest.head_dim());
  size_t n = 0;
  for (const DroppedKeyStore* store : stores) n += store->size();
  joined.Reserve(n);
  std::vector<float> row(newest.head_dim());
  for (const DroppedKeyStore* store : stores) {
    if (store->channels() == newest.channels()) {
      joined.AppendRows(store->rows());  // not rounded again
      continue;
    }
    for (size_t t = 0; t < store->size(); ++t) {
      store->ReadRow(t, row.data());
      joined.Append(row.data(), 1, row.size());
    }
  }
  return joined;
}

template <class Variant, class Part>
Variant JoinAll(std::span<const SegmentPtr> segments, const Part& part) {
  return std::visit(
      [&](const auto& first) -> Variant {
        using Store = std::decay_t<decltype(first)>;
        std::vector<const Store*> stores;
        for (const SegmentPtr& segment : segments) {
          stores.push_back(&std::get<Store>(part(*segment)));
        }
        return Join(std::span<const Store* const>(stores));
      },
      part(*segments[0]));
}

// The first kMergeSegments segments that can merge with segment `i` and have its level, by number.
std::vector<size_t> Like(const HeadCache& cache, size_t i) {
  std::vector<size_t> like;
  const Segment& segment = *cache.context[i];
  for (size_t j = i; j < cache.context.size() && like.size() < kMergeSegments; ++j) {
    const Segment& other = *cache.context[j];
    if (other.level == segment.level && CanMerge(segment, other)) like.push_back(j);
  }
  return like;
}

// Puts the merged segment where the first of them was; attention asks for no order.
void MergeAt(const std::vector<size_t>& numbers, HeadCache& cache) {
  std::vector<SegmentPtr> segments;
  for (const size_t i : numbers) segments.push_back(cache.context[i]);
  cache.context[numbers[0]] = std::make_shared<const Segment>(Merge(segments));
  for (size_t i = numbers.size() - 1; i > 0; --i) {
    cache.context.erase(cache.context.begin() + static_cast<std::ptrdiff_t>(numbers[i]));
  }
}

void AppendBytes(const AlignedBytes& from, AlignedBytes& to, size_t& at) {
  if (from.size() > 0) std::memcpy(to.data() + at, from.data(), from.size());
  at += from.size();
}

}  // namespace

float ScalarRatio(const uint8_t* mask, const float* old, const float* fill, size_t dim) {
  double sum = 0;
  size_t count = 0;
  for (size_t j = 0; j < dim; ++j) {
    if (MaskBit(mask, j) || !(fill[j] > 0)) continue;
    const double ratio = static_cast<double>(old[j]) / static_cast<double>(fill[j]);
    sum += ratio * ratio;
    ++count;
  }
  return count == 0 ? 1.0f : static_cast<float>(std::sqrt(sum / static_cast<double>(count)));
}

bool CanMerge(const Segment& a, const Segment& b) {
  return SameStore(a.keys, b.keys) && SameStore(a.values, b.values);
}

Segment Merge(std::span<const SegmentPtr> segments) {
  const auto keys = [](const Segment& s) -> const KeyStore& { return s.keys; };
  const auto values = [](const Segment& s) -> const ValueStore& { return s.values; };
  std::vector<uint32_t> positions;
  for (const SegmentPtr& segment : segments) segment->positions.AppendTo(positions);
  return {JoinAll<KeyStore>(segments, keys), JoinAll<ValueStore>(segments, values),
          static_cast<uint8_t>(segments[0]->level + 1), TokenPositions(std::move(positions))};
}

void MergeGenerated(HeadCache& cache) {
  for (size_t i = 0; i < cache.context.size();) {
    const std::vector<size_t> like =
        cache.context[i]->level == 0 ? std::vector<size_t>{} : Like(cache, i);
    if (like.size() < kMergeSegments) {
      ++i;
    } else {
      MergeAt(like, cache);
      i = 0;  // what came of it may be the last one that its own level waited for
    }
  }
}

SparseStore SparseStore::Concatenate(std::span<const SparseStore* const> stores) {
  const SparseStore& newest = *stores.back();
  SparseStore joined;
  joined.value_type_ = newest.value_type_;
  joined.recovery_ = newest.recovery_;
  joined.head_dim_ = newest.head_dim_;
  for (const SparseStore* store : stores) joined.size_ += store->size_;
  const size_t plane_bytes = joined.size_ * MaskBytes(joined.head_dim_);
  joined.masks_.Resize(plane_bytes);
  if (newest.signs_.size() > 0) joined.signs_.Resize(plane_bytes);

  size_t masks = 0, signs = 0, values = 0;
  for (const SparseStore* store : stores) {
    AppendBytes(store->masks_, joined.masks_, masks);
    AppendBytes(store->signs_, joined.signs_, signs);
  }
  joined.LayOutRows();
  for (const SparseStore* store : stores) AppendBytes(store->values_, joined.values_, values);
  if (joined.recovery_ == Recovery::kZero) return joined;

  std::vector<float> scalars;
  scalars.reserve(joined.size_);
  for (const SparseStore* store : stores) {
    const bool same = std::equal(store->fill(), store->fill() + joined.head_dim_, newest.fill());
    for (size_t t = 0; t < store->size_; ++t) {
      const float ratio =
          same ? 1.0f : ScalarRatio(store->Mask(t), store->fill(), newest.fill(), joined.head_dim_);
      scalars.push_back(store->Scalar(t) * ratio);
    }
  }
  // The packed fill carries the unit of the scalars; `constant` recovers in units of 1.
  const bool constant = joined.recovery_ == Recovery::kConstant;
  for (float& s : scalars) s *= constant ? newest.fill()[0] : 1.0f;
  joined.PackScalars({.scalars = scalars, .fill = {newest.fill(), newest.head_dim_}});
  return joined;
}

}  // namespace spark
