#include <algorithm>
#include <cstring>

#include "backend/cuda/kv_mirror.h"

namespace spark::cuda {
namespace {

// Rows of a tail that are not on the device as they are on the host.
struct RowRange {
  size_t first = 0, n = 0;
  bool operator==(const RowRange&) const = default;
};

RowRange Changed(const RowChanges& known, size_t known_size, const DenseStore& store) {
  const RowChanges& now = store.changes();
  const uint64_t overwrites = now.overwrites - known.overwrites;
  if (now.id != known.id || known_size > store.size() || overwrites > 1) return {0, store.size()};
  if (overwrites == 0) return {known_size, store.size() - known_size};
  if (known_size == store.size()) return {now.overwritten, 1};
  return {0, store.size()};
}

}  // namespace

const SegmentView& KvMirror::ViewOf(const SegmentPtr& segment) {
  const auto found = segments_.find(segment.get());
  if (found != segments_.end() && found->second.host.lock() == segment) {
    return found->second.stores.view();
  }
  if (found != segments_.end()) segments_.erase(found);  // another one, dead, at this address
  const auto [place, added] =
      segments_.emplace(segment.get(), KnownSegment{segment, UploadedStores(*segment, staging_)});
  return place->second.stores.view();
}

bool KvMirror::HasSegments(const KnownLayer& known, const LayerCache& layer) {
  size_t i = 0;
  if (known.segments_of_head.size() != layer.heads().size()) return false;
  for (size_t h = 0; h < layer.heads().size(); ++h) {
    const std::vector<SegmentPtr>& context = layer.heads()[h].context;
    if (known.segments_of_head[h] != context.size()) return false;
    for (const SegmentPtr& segment : context) {
      if (known.segments[i++].lock() != segment) return false;
    }
  }
  return true;
}

// Returns whether the rows have moved.
bool KvMirror::SyncTail(const LayerCache& layer, DenseStore Tail::*side, TailRows& tail) {
  const std::vector<HeadCache>& heads = layer.heads();
  const DenseStore& first = heads.front().tail.*side;
  const bool moved = tail.heads.size() != heads.size() || tail.type != first.type() ||
                     tail.row_bytes != first.row_bytes() || tail.capacity < first.size();
  if (moved) {
    tail.type = first.type();
    tail.row_bytes = first.row_bytes();
    tail.capacity = std::max(first.capacity(), first.size());
    tail.heads.assign(heads.size(), {});
    const size_t bytes = heads.size() * tail.capacity * tail.row_bytes;
    tail.rows = DeviceMemory();  // never both at once
    tail.rows = DeviceMemory(bytes, "the KV cache's newest tokens");
  }
  std::vector<RowRange> ranges;
  for (size_t h = 0; h < heads.size(); ++h) {
    const DenseStore& store = heads[h].tail.*side;
    ranges.push_back(Changed(tail.heads[h].changes, tail.heads[h].size, store));
    tail.heads[h] = {store.changes(), store.size()};
  }
  // Heads change together; were it otherwise, all rows of all heads go again.
  const bool alike = std::ranges::all_of(ranges, [&](const RowRange& r) { return r == ranges[0]; });
  const RowRange range = alike ? ranges[0] : RowRange{0, first.size()};
  if (range.n > 0) SendRows(layer, side, range.first, range.n, tail);
  return moved;
}

void KvMirror::SendRows(const LayerCache& layer, DenseStore Tail::*side, size_t first, size_t n,
                        const TailRows& tail) {
  const std::vector<HeadCache>& heads = layer.heads();
  const size_t bytes = n * tail.row_bytes;
  const size_t pitch = tail.capacity * tail.row_bytes;
  const auto rows_of = [&](size_t h) {
    return (heads[h].tail.*side).data() + first * tail.row_bytes;
  };
  std::byte* to = tail.rows.As<std::byte>() + first * tail.row_bytes;
  if (heads.size() * bytes > Staging::kBytes) {
    for (size_t h = 0; h < heads.size(); ++h) staging_.Upload(rows_of(h), bytes, to + h * pitch);
    return;
  }
  std::byte* staged = staging_.Begin();
  for (size_t h = 0; h < heads.size(); ++h) std::memcpy(staged + h * bytes, rows_of(h), bytes);
  staging_.SendRows(bytes, heads.size(), to, pitch);
}

// The segments of all heads, each head's tail last, and where heads begin.
void KvMirror::MakeTable(const LayerCache& layer, KnownLayer& known) {
  std::vector<SegmentView> views;
  std::vector<uint32_t> begins;
  known.segments.clear();
  known.segments_of_head.clear();
  for (size_t h = 0; h < layer.heads().size(); ++h) {
    begins.push_back(static_cast<uint32_t>(views.size()));
    for (const SegmentPtr& segment : layer.heads()[h].context) {
      views.push_back(ViewOf(segment));
      known.segments.push_back(segment);
    }
    known.segments_of_head.push_back(layer.heads()[h].context.size());
    SegmentView& tail = views.emplace_back();
    tail.is_tail = true;
    for (const auto& [rows, view] :
         {std::pair(&known.keys, &tail.keys), std::pair(&known.values, &tail.values)}) {
      view->rows = rows->rows.As<const uint8_t>() + h * rows->capacity * rows->row_bytes;
      view->type = rows->type;
      view->row_bytes = static_cast<uint32_t>(rows->row_bytes);
    }
  }
  begins.push_back(static_cast<uint32_t>(views.size()));

  const size_t view_bytes = views.size() * sizeof(SegmentView);
  known.table.Resize(view_bytes + begins.size() * sizeof(uint32_t), "a table of KV segments");
  staging_.Upload(views.data(), view_bytes, known.table.As<void>());
  staging_.Upload(begins.data(), begins.size() * sizeof(uint32_t),
                  known.table.As<std::byte>() + view_bytes);
}

KvMirror::Layer KvMirror::Update(const LayerCache& layer) {
  KnownLayer& known = layers_[&layer];
  const bool keys_moved = SyncTail(layer, &Tail::keys, known.keys);
  const bool values_moved = SyncTail(layer, &Tail::values, known.values);
  if (keys_moved || values_moved || !HasSegments(known, layer)) {
    std::erase_if(segments_, [](const auto& entry) { return entry.second.host.expired(); });
    MakeTable(layer, known);
  }
  size_t views = layer.heads().size();  // tails
  size_t most_tokens = 0;
  for (const HeadCache& head : layer.heads()) {
    views += head.context.size();
    most_tokens = std::max(most_tokens, head.size());
  }
  const auto* table = known.table.As<const std::byte>();
  return {reinterpret_cast<const SegmentView*>(table),
          reinterpret_cast<const uint32_t*>(table + views * sizeof(SegmentView)), most_tokens};
}

std::optional<KvMirror::ExactKeys> KvMirror::Exact(const LayerCache& layer) const {
  const auto known = layers_.find(&layer);
  if (known == layers_.end()) return std::nullopt;
  const TailRows& keys = known->second.keys;
  const size_t n_heads = layer.heads().size();
  if (keys.type != DType::kF32 || keys.heads.size() != n_heads) return std::nullopt;
  for (size_t h = 0; h < n_heads; ++h) {
    const DenseStore& store = layer.heads()[h].tail.keys;
    const bool same = store.type() == DType::kF32 &&
                      Changed(keys.heads[h].changes, keys.heads[h].size, store).n == 0 &&
                      keys.heads[h].size == store.size();
    if (!same) return std::nullopt;
  }
  return ExactKeys{keys.rows.As<const float>(), keys.capacity};
}

void KvMirror::ReleaseTails(const LayerCache& layer) {
  const auto known = layers_.find(&layer);
  if (known == layers_.end()) return;
  known->second.keys = {};
  known->second.values = {};
}

}  // namespace spark::cuda
