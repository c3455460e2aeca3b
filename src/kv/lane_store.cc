#include "kv/lane_store.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "base/half.h"
#include "base/parts.h"
#include "kv/mask_bits.h"
#include "kv/merge.h"
#include "kv/sign_plane.h"
#include "spark/error.h"

namespace spark {
namespace {

template <class T>
T Load(const std::byte* p) {
  T x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}
template <class T>
void Store(T x, std::byte* p) {
  std::memcpy(p, &x, sizeof(x));
}

constexpr size_t LaneOf(size_t t) { return t % LaneLayout::kTokens; }

// The places of channels in an order.
std::vector<uint8_t> Inverse(std::span<const uint8_t> order) {
  std::vector<uint8_t> places(order.size());
  for (size_t p = 0; p < order.size(); ++p) places[order[p]] = static_cast<uint8_t>(p);
  return places;
}

// Places as a mask: bit p is place p.
using PlaceMask = std::array<uint8_t, MaskBytes(LaneLayout::kMaxHeadDim)>;

}  // namespace

LaneStore::LaneStore(size_t head_dim, size_t n_kept, size_t n_tokens)
    : head_dim_(head_dim),
      n_kept_(static_cast<uint16_t>(n_kept)),
      size_(n_tokens),
      layout_(head_dim, n_kept),
      order_(head_dim) {
  std::iota(order_.begin(), order_.end(), uint8_t{0});
  tiles_.Resize(n_tiles() * layout_.tile_bytes());
}

LaneStore LaneStore::Pack(const SparseInput& input, size_t n_kept) {
  if (!CanPack(input.head_dim)) throw Error("keys of this head_dim cannot lie in lanes");
  LaneStore store(input.head_dim, n_kept, input.n_tokens);
  store.PackScalars(input);
  store.SetOrder(input);
  const std::vector<uint8_t> places = Inverse(store.order_);
  if (!input.centre.empty()) store.centre_.Assign(std::as_bytes(input.centre));
  ForParts(input.n_tokens, kPartTokens, [&](size_t first, size_t last) {
    std::array<float, LaneLayout::kMaxHeadDim> kept;
    for (size_t t = first; t < last; ++t) store.PackToken(input, t, places, kept);
  });
  store.CountQuads();
  return store;
}

void LaneStore::PackScalars(const SparseInput& input) {
  const float unit = ScalarUnit(input.scalars);
  for (size_t t = 0; t < size_; ++t) {
    Store(ToF16(input.scalars[t] / unit), MutableTile(t) + LaneLayout::kScalars + 2 * LaneOf(t));
  }
  std::vector<float> fill(input.fill.begin(), input.fill.end());
  for (float& f : fill) f *= unit;
  fill_.Assign(std::as_bytes(std::span(fill)));
}

// A few hundred tokens say well enough which channels most of them keep.
void LaneStore::SetOrder(const SparseInput& input) {
  constexpr size_t kSampled = 256;
  const size_t step = std::max<size_t>(CeilDiv(size_, kSampled), 1);
  std::array<uint32_t, LaneLayout::kMaxHeadDim> count{};
  for (size_t t = 0; t < size_; t += step) {
    const uint8_t* mask = input.masks + t * MaskBytes(head_dim_);
    ForMaskBits(mask, MaskBytes(head_dim_), [&](size_t j) { ++count[j]; });
  }
  std::ranges::stable_sort(order_, std::greater(), [&](uint8_t j) { return count[j]; });
}

void LaneStore::PackToken(const SparseInput& input, size_t t, std::span<const uint8_t> places,
                          std::span<float> kept) {
  const float* x = input.rows + t * input.stride;
  const uint8_t* mask = input.masks + t * MaskBytes(head_dim_);
  std::byte* tile = MutableTile(t);
  const size_t lane = LaneOf(t);
  std::array<uint8_t, MaskBytes(LaneLayout::kMaxHeadDim)> signs{};
  PackSigns(x, head_dim_, signs.data());
  for (size_t w = 0; w < layout_.words; ++w) {
    std::memcpy(tile + LaneLayout::kSigns + (w * LaneLayout::kTokens + lane) * 4,
                signs.data() + 4 * w, 4);
  }
  PlaceMask taken{};
  ForMaskBits(mask, MaskBytes(head_dim_), [&](size_t j) { SetMaskBit(taken.data(), places[j]); });
  size_t i = 0;
  ForMaskBits(taken.data(), MaskBytes(head_dim_), [&](size_t place) {
    if (i >= n_kept_) return;
    kept[i] = x[order_[place]];
    tile[layout_.PlaceAt(lane, i)] = static_cast<std::byte>(place);
    ++i;
  });
  StoreResiduals(t, kept);
}

// What the recovery leaves of the kept channels, as codes: signs, channels and scalar are in place.
// The recovery is taken as it will be read, so rounding the scalar costs the kept channels nothing.
void LaneStore::StoreResiduals(size_t t, std::span<float> kept) {
  std::byte* tile = MutableTile(t);
  const size_t lane = LaneOf(t);
  std::array<uint32_t, LaneLayout::kMaxHeadDim / 32> signs;
  for (size_t w = 0; w < layout_.words; ++w) {
    signs[w] = Load<uint32_t>(tile + LaneLayout::kSigns + (w * LaneLayout::kTokens + lane) * 4);
  }
  const float scalar = Scalar(t);
  const float* recovery = fill();
  float largest = 0;
  for (size_t i = 0; i < n_kept_; ++i) {
    const size_t j = order_[std::to_integer<size_t>(tile[layout_.PlaceAt(lane, i)])];
    const bool positive = (signs[j / 32] >> (j % 32)) & 1;
    kept[i] -= positive ? scalar * recovery[j] : -scalar * recovery[j];
    largest = std::max(largest, std::abs(kept[i]));
  }
  const F16 half = ToF16(std::min(largest / 127, 65504.0f));
  Store(half, tile + LaneLayout::kScales + 2 * lane);
  const float scale = ToFloat(half);
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (size_t i = 0; i < n_kept_; ++i) {
    const float code = std::clamp(kept[i] * inverse, -127.0f, 127.0f);
    constexpr float kToInteger = 3 << 22;  // added and taken away, leaves the nearest integer
    tile[layout_.PlaceAt(lane, i) + layout_.CodeBehind(i)] =
        static_cast<std::byte>(static_cast<int8_t>(code + kToInteger - kToInteger));
  }
}

std::byte* LaneStore::MutableTile(size_t t) {
  return tiles_.data() + t / LaneLayout::kTokens * layout_.tile_bytes();
}

void LaneStore::CopyToken(const LaneStore& from, size_t from_t, size_t t) {
  const std::byte* in = from.TileOf(from_t);
  std::byte* out = MutableTile(t);
  // [16] elements of `bytes` bytes from `at` on.
  const auto copy = [&](size_t at, size_t bytes) {
    std::memcpy(out + at + LaneOf(t) * bytes, in + at + LaneOf(from_t) * bytes, bytes);
  };
  copy(LaneLayout::kScales, 2);
  copy(LaneLayout::kScalars, 2);
  for (size_t w = 0; w < layout_.words; ++w) {
    copy(LaneLayout::kSigns + w * LaneLayout::kTokens * 4, 4);
  }
  for (size_t i = 0; i < 2 * layout_.quads; ++i) {
    copy(layout_.first_quad() + i * LaneLayout::kTokens * 4, 4);
  }
  for (size_t i = 0; i < 2; ++i) {
    copy(layout_.first_rest() + i * LaneLayout::kTokens * layout_.rest, layout_.rest);
  }
}

void LaneStore::CountQuads() {
  if (!layout_.few_blocks()) return;
  constexpr size_t kPlaces = 4 * LaneLayout::kTokens;  // of a quad
  within_.assign(n_tiles() * LaneLayout::kFewBlocks, 0);
  for (size_t i = 0; i < n_tiles(); ++i) {
    const auto* places = reinterpret_cast<const uint8_t*>(Tile(i) + layout_.first_quad());
    uint8_t most = 0;  // of this quad and those before it
    for (size_t q = 0; q < layout_.quads; ++q, places += LaneLayout::kQuadBytes) {
      for (size_t k = 0; k < kPlaces; ++k) most = std::max(most, places[k]);
      for (size_t b = most / LaneLayout::kBlock; b < LaneLayout::kFewBlocks; ++b) {
        ++within_[i * LaneLayout::kFewBlocks + b];
      }
    }
  }
}

void LaneStore::TakeOrder(size_t t, std::span<const uint8_t> places) {
  std::byte* tile = MutableTile(t);
  PlaceMask taken{};
  std::array<std::byte, LaneLayout::kMaxHeadDim> codes;  // by place
  for (size_t i = 0; i < n_kept_; ++i) {
    const size_t at = layout_.PlaceAt(LaneOf(t), i);
    const size_t place = places[std::to_integer<size_t>(tile[at])];
    SetMaskBit(taken.data(), place);
    codes[place] = tile[at + layout_.CodeBehind(i)];
  }
  size_t i = 0;
  ForMaskBits(taken.data(), MaskBytes(head_dim_), [&](size_t place) {
    const size_t at = layout_.PlaceAt(LaneOf(t), i);
    tile[at] = static_cast<std::byte>(place);
    tile[at + layout_.CodeBehind(i)] = codes[place];
    ++i;
  });
}

LaneStore LaneStore::Select(std::span<const uint32_t> tokens) const {
  LaneStore store(head_dim_, n_kept_, tokens.size());
  store.order_ = order_;
  store.fill_.Assign(fill_.bytes());
  if (centre_.size() > 0) store.centre_.Assign(centre_.bytes());
  for (size_t t = 0; t < tokens.size(); ++t) store.CopyToken(*this, tokens[t], t);
  store.CountQuads();
  return store;
}

LaneStore LaneStore::Concatenate(std::span<const LaneStore* const> stores) {
  const LaneStore& newest = *stores.back();
  const size_t dim = newest.head_dim_;
  size_t n = 0;
  bool same = true;
  for (const LaneStore* store : stores) {
    n += store->size_;
    same = same && std::equal(store->fill(), store->fill() + dim, newest.fill());
  }
  LaneStore joined(dim, newest.n_kept_, n);
  joined.order_ = newest.order_;
  const std::vector<uint8_t> places = Inverse(joined.order_);
  std::vector<float> scalars;
  size_t at = 0;
  for (const LaneStore* store : stores) {
    const bool reorder = store->order_ != joined.order_;
    std::vector<uint8_t> renumbered(dim);  // place in the store to place among all
    std::ranges::transform(store->order_, renumbered.begin(), [&](uint8_t j) { return places[j]; });
    for (size_t t = 0; t < store->size_; ++t, ++at) {
      joined.CopyToken(*store, t, at);
      if (reorder) joined.TakeOrder(at, renumbered);
      if (!same) scalars.push_back(store->Scalar(t) * store->RatioTo(newest, t));
    }
  }
  joined.CountQuads();
  if (same) {
    joined.fill_.Assign(newest.fill_.bytes());
    return joined;
  }
  joined.PackScalars({.n_tokens = n, .scalars = scalars, .fill = {newest.fill(), dim}});
  std::vector<float> row(dim), kept(joined.n_kept_);
  at = 0;
  for (const LaneStore* store : stores) {
    for (size_t t = 0; t < store->size_; ++t, ++at) {
      store->ReadRow(t, row.data());
      for (size_t i = 0; i < kept.size(); ++i) kept[i] = row[joined.Channel(at, i)];
      joined.StoreResiduals(at, kept);
    }
  }
  return joined;
}

float LaneStore::RatioTo(const LaneStore& newest, size_t t) const {
  std::vector<uint8_t> mask(MaskBytes(head_dim_));
  for (size_t i = 0; i < n_kept_; ++i) SetMaskBit(mask.data(), Channel(t, i));
  return ScalarRatio(mask.data(), fill(), newest.fill(), head_dim_);
}

float LaneStore::Scale(size_t t) const {
  return ToFloat(Load<F16>(TileOf(t) + LaneLayout::kScales + 2 * LaneOf(t)));
}
float LaneStore::Scalar(size_t t) const {
  return ToFloat(Load<F16>(TileOf(t) + LaneLayout::kScalars + 2 * LaneOf(t)));
}
bool LaneStore::Positive(size_t t, size_t j) const {
  const size_t at = LaneLayout::kSigns + (j / 32 * LaneLayout::kTokens + LaneOf(t)) * 4;
  return (Load<uint32_t>(TileOf(t) + at) >> (j % 32)) & 1;
}
size_t LaneStore::Place(size_t t, size_t i) const {
  return std::to_integer<size_t>(TileOf(t)[layout_.PlaceAt(LaneOf(t), i)]);
}
int LaneStore::Code(size_t t, size_t i) const {
  const size_t at = layout_.PlaceAt(LaneOf(t), i) + layout_.CodeBehind(i);
  return Load<int8_t>(TileOf(t) + at);
}

void LaneStore::ReadRow(size_t t, float* out) const {
  const float scalar = Scalar(t);
  for (size_t j = 0; j < head_dim_; ++j) {
    const float recovered = scalar * fill()[j];
    out[j] = Positive(t, j) ? recovered : -recovered;
  }
  const float scale = Scale(t);
  for (size_t i = 0; i < n_kept_; ++i) {
    out[Channel(t, i)] += scale * static_cast<float>(Code(t, i));
  }
  for (size_t j = 0; centre() != nullptr && j < head_dim_; ++j) out[j] += centre()[j];
}

}  // namespace spark
