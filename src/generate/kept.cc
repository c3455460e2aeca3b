#include "generate/kept.h"

#include <algorithm>
#include <numeric>

namespace spark {
namespace {

// Adds, for every channel, how many of the store's tokens have kept it.
void Count(const DenseStore& keys, std::span<size_t> counts) {
  for (size_t& n : counts) n += keys.size();
}
void Count(const SparseStore& keys, std::span<size_t> counts) {
  for (size_t t = 0; t < keys.size(); ++t) {
    for (size_t j = 0; j < counts.size(); ++j) counts[j] += MaskBit(keys.Mask(t), j);
  }
}
void Count(const LaneStore& keys, std::span<size_t> counts) {
  for (size_t t = 0; t < keys.size(); ++t) {
    for (size_t i = 0; i < keys.n_kept(); ++i) ++counts[keys.Channel(t, i)];
  }
}
void Count(const DroppedKeyStore& keys, std::span<size_t> counts) {
  for (const uint16_t j : keys.channels()) counts[j] += keys.size();
}

std::vector<size_t> ChannelCounts(const HeadCache& head, size_t head_dim, bool with_tail) {
  std::vector<size_t> counts(head_dim);
  for (const SegmentPtr& segment : head.context) {
    std::visit([&](const auto& keys) { Count(keys, counts); }, segment->keys);
  }
  if (with_tail) Count(head.tail.keys, counts);
  return counts;
}

double Share(size_t part, size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

KeptShares CountKept(const KvCache& cache, size_t n_tokens) {
  KeptShares kept;
  for (const LayerCache& layer : cache.layers()) {
    const bool windowed = layer.window() > 0;  // its tail is context
    const size_t dim = layer.head_dim();
    const size_t seen = windowed ? std::min(layer.window(), n_tokens) : n_tokens;
    size_t entries = 0;
    for (const HeadCache& head : layer.heads()) {
      const std::vector<size_t> counts = ChannelCounts(head, dim, windowed);
      entries += std::accumulate(counts.begin(), counts.end(), size_t{0});
      if (&head != &layer.heads().front()) continue;
      std::vector<double>& shares = kept.channels.emplace_back();
      for (const size_t n : counts) shares.push_back(Share(n, seen));
    }
    kept.layers.push_back(Share(entries, seen * dim * layer.heads().size()));
  }
  return kept;
}

}  // namespace spark
