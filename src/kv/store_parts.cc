#include "kv/store_parts.h"

#include <array>
#include <bitset>
#include <cmath>
#include <cstring>
#include <string>

#include "base/checked.h"
#include "base/tiles.h"
#include "kv/packed_row.h"
#include "spark/error.h"

namespace spark {
namespace {

void Add(std::string_view name, std::span<const std::byte> bytes, StoreParts& parts) {
  if (!bytes.empty()) parts.arrays.push_back({name, bytes});
}

std::span<const std::byte> Rows(const DenseStore& store) {
  return {store.data(), store.size() * store.row_bytes()};
}

StoreParts Parts(const DenseStore& store) {
  StoreParts parts{.form = StoreForm::kDense, .type = store.type(), .arrays = {}};
  Add("rows", Rows(store), parts);
  return parts;
}

StoreParts Parts(const DroppedKeyStore& store) {
  StoreParts parts{.form = StoreForm::kDropped, .type = store.rows().type(), .arrays = {}};
  Add("channels", std::as_bytes(std::span(store.channels())), parts);
  Add("rows", Rows(store.rows()), parts);
  return parts;
}

StoreParts Parts(const SparseStore& store) {
  if (store.sampled()) throw Error("a context with sampled recovery cannot be saved");
  StoreParts parts{.form = StoreForm::kSparse,
                   .type = store.value_type(),
                   .recovery = store.recovery(),
                   .arrays = {}};
  const SparseArrays arrays = store.Arrays();
  Add("values", arrays.values, parts);
  Add("masks", arrays.masks, parts);
  Add("signs", arrays.signs, parts);
  Add("scalars", arrays.scalars, parts);
  Add("fill", arrays.fill, parts);
  Add("centre", arrays.centre, parts);
  return parts;
}

StoreParts Parts(const LaneStore& store) {
  StoreParts parts{.form = StoreForm::kLanes, .type = DType::kQ8_0, .arrays = {}};
  const LaneArrays arrays = store.Arrays();
  Add("kept", arrays.kept, parts);
  Add("tiles", arrays.tiles, parts);
  Add("order", arrays.order, parts);
  Add("fill", arrays.fill, parts);
  Add("centre", arrays.centre, parts);
  return parts;
}

DroppedKeyStore MakeDropped(const StoreParts& parts, size_t head_dim, size_t n) {
  const std::span<const std::byte> bytes = parts.Find("channels");
  CheckArray("channels", bytes.size(), bytes.size() / sizeof(uint16_t), sizeof(uint16_t));
  std::vector<uint16_t> channels(bytes.size() / sizeof(uint16_t));
  if (!channels.empty()) std::memcpy(channels.data(), bytes.data(), bytes.size());
  return DroppedKeyStore::FromParts(std::move(channels), parts.type, head_dim, n,
                                    parts.Find("rows"));
}

SparseStore MakeSparse(const StoreParts& parts, size_t head_dim, size_t n) {
  const SparseArrays arrays{.values = parts.Find("values"),
                            .masks = parts.Find("masks"),
                            .signs = parts.Find("signs"),
                            .scalars = parts.Find("scalars"),
                            .fill = parts.Find("fill"),
                            .centre = parts.Find("centre")};
  return SparseStore::FromArrays(arrays, parts.type, parts.recovery, head_dim, n);
}

// A plane's rows are whole bytes: the bits behind the last channel mean nothing and are 0.
void CheckPlane(std::string_view name, std::span<const std::byte> plane, size_t n, size_t dim) {
  CheckArray(name, plane.size(), n, MaskBytes(dim));
  if (dim % 8 == 0) return;
  for (size_t t = 0; t < n; ++t) {
    const auto last = std::to_integer<unsigned>(plane[(t + 1) * MaskBytes(dim) - 1]);
    if (last >> (dim % 8) != 0) {
      throw Error("a bit stands for a channel that there is not",
                  {.field = std::string(name), .found = "token " + std::to_string(t)});
    }
  }
}

void CheckFinite(std::string_view name, std::span<const std::byte> floats) {
  for (size_t i = 0; i + sizeof(float) <= floats.size(); i += sizeof(float)) {
    float x = 0;
    std::memcpy(&x, floats.data() + i, sizeof(x));
    if (!std::isfinite(x)) throw Error("a number is not finite", {.field = std::string(name)});
  }
}

// Every channel once.
void CheckOrder(std::span<const std::byte> order, size_t dim) {
  CheckArray("order", order.size(), dim, 1);
  std::bitset<LaneLayout::kMaxHeadDim> seen;
  for (const std::byte channel : order) seen[std::to_integer<size_t>(channel)] = true;
  bool all = true;
  for (size_t j = 0; j < dim; ++j) all = all && seen[j];
  if (!all) throw Error("not every channel has a place", {.field = "order"});
}

}  // namespace

void CheckArray(std::string_view name, size_t bytes, size_t n, size_t each) {
  const auto want = CheckedMul(n, each);
  if (want && *want == bytes) return;
  throw Error("wrong length", {.field = std::string(name),
                               .found = std::to_string(bytes) + " bytes",
                               .allowed = std::to_string(n) + " times " + std::to_string(each)});
}

std::span<const std::byte> StoreParts::Find(std::string_view name) const {
  for (const Array& array : arrays) {
    if (array.name == name) return array.bytes;
  }
  return {};
}

std::span<const std::string_view> ArrayNames(StoreForm form) {
  static constexpr std::array<std::string_view, 1> kDense = {"rows"};
  static constexpr std::array<std::string_view, 6> kSparse = {"values",  "masks", "signs",
                                                              "scalars", "fill",  "centre"};
  static constexpr std::array<std::string_view, 2> kDropped = {"channels", "rows"};
  static constexpr std::array<std::string_view, 5> kLanes = {"kept", "tiles", "order", "fill",
                                                             "centre"};
  switch (form) {
    case StoreForm::kSparse:
      return kSparse;
    case StoreForm::kDropped:
      return kDropped;
    case StoreForm::kLanes:
      return kLanes;
    default:
      return kDense;
  }
}

StoreParts TakeApart(const KeyStore& store) {
  return std::visit([](const auto& s) { return Parts(s); }, store);
}
StoreParts TakeApart(const ValueStore& store) {
  return std::visit([](const auto& s) { return Parts(s); }, store);
}

// Kernels don't ask again: one that recovers keys reads signs.
KeyStore MakeKeyStore(const StoreParts& parts, size_t head_dim, size_t n) {
  if (parts.form == StoreForm::kSparse && parts.recovery == Recovery::kConstant) {
    throw Error("keys do not recover in this manner", {.field = "recovery"});
  }
  switch (parts.form) {
    case StoreForm::kDense:
      return DenseStore::FromRows(parts.type, head_dim, n, parts.Find("rows"));
    case StoreForm::kSparse:
      return MakeSparse(parts, head_dim, n);
    case StoreForm::kDropped:
      return MakeDropped(parts, head_dim, n);
    case StoreForm::kLanes:
      return LaneStore::FromArrays({.kept = parts.Find("kept"),
                                    .tiles = parts.Find("tiles"),
                                    .order = parts.Find("order"),
                                    .fill = parts.Find("fill"),
                                    .centre = parts.Find("centre")},
                                   head_dim, n);
  }
  throw Error("keys are not stored in this form");
}

ValueStore MakeValueStore(const StoreParts& parts, size_t head_dim, size_t n) {
  if (parts.form == StoreForm::kDense) {
    return DenseStore::FromRows(parts.type, head_dim, n, parts.Find("rows"));
  }
  if (parts.form == StoreForm::kSparse && parts.recovery != Recovery::kMean) {
    return MakeSparse(parts, head_dim, n);
  }
  throw Error("values are not stored in this form");
}

SparseArrays SparseStore::Arrays() const {
  return {.values = values_.bytes(),
          .masks = masks_.bytes(),
          .signs = signs_.bytes(),
          .scalars = scalars_.bytes(),
          .fill = fill_.bytes(),
          .centre = centre_.bytes()};
}

SparseStore SparseStore::FromArrays(const SparseArrays& arrays, DType value_type, Recovery recovery,
                                    size_t head_dim, size_t n_tokens) {
  CheckCacheType(value_type);
  SparseStore store;
  store.value_type_ = value_type;
  store.recovery_ = recovery;
  store.head_dim_ = head_dim;
  store.size_ = n_tokens;

  const bool scalars = recovery != Recovery::kZero;
  CheckPlane("masks", arrays.masks, n_tokens, head_dim);
  const bool signs = recovery == Recovery::kMean;
  CheckPlane("signs", arrays.signs, signs ? n_tokens : 0, head_dim);
  CheckArray("scalars", arrays.scalars.size(), scalars ? n_tokens : 0,
             Traits(store.scalar_type()).block_bytes);
  CheckArray("fill", arrays.fill.size(), scalars ? head_dim : 0, sizeof(float));
  CheckFinite("fill", arrays.fill);
  CheckArray("centre", arrays.centre.size(), arrays.centre.empty() ? 0 : head_dim, sizeof(float));
  CheckFinite("centre", arrays.centre);
  const auto* masks = reinterpret_cast<const uint8_t*>(arrays.masks.data());
  size_t bytes = 0;  // what the masks say that `values` hold: before anything is made of it
  for (size_t t = 0; t < n_tokens; ++t) {
    const size_t kept = CountMaskBits(masks + t * MaskBytes(head_dim), MaskBytes(head_dim));
    bytes += PackedRowBytes(value_type, kept);
  }
  CheckArray("values", arrays.values.size(), bytes, 1);

  store.masks_.Assign(arrays.masks);
  store.LayOutRows();
  store.values_.Assign(arrays.values);
  if (signs) store.signs_.Assign(arrays.signs);
  if (scalars) store.scalars_.Assign(arrays.scalars);
  if (scalars) store.fill_.Assign(arrays.fill);
  if (!arrays.centre.empty()) store.centre_.Assign(arrays.centre);
  return store;
}

LaneArrays LaneStore::Arrays() const {
  return {.kept = std::as_bytes(std::span(&n_kept_, 1)),
          .tiles = tiles_.bytes(),
          .order = std::as_bytes(std::span(order_)),
          .fill = fill_.bytes(),
          .centre = centre_.bytes()};
}

LaneStore LaneStore::FromArrays(const LaneArrays& arrays, size_t head_dim, size_t n_tokens) {
  if (!CanPack(head_dim)) throw Error("keys of this head_dim cannot lie in lanes");
  uint16_t n_kept = 0;
  CheckArray("kept", arrays.kept.size(), 1, sizeof(n_kept));
  std::memcpy(&n_kept, arrays.kept.data(), sizeof(n_kept));
  if (n_kept > head_dim) {
    throw Error("more kept channels than there are",
                {.field = "kept",
                 .found = std::to_string(n_kept),
                 .allowed = "0 to " + std::to_string(head_dim)});
  }
  const size_t n_tiles = CeilDiv(n_tokens, LaneLayout::kTokens);
  CheckArray("tiles", arrays.tiles.size(), n_tiles, LaneLayout(head_dim, n_kept).tile_bytes());
  if (!arrays.order.empty()) CheckOrder(arrays.order, head_dim);
  CheckArray("fill", arrays.fill.size(), head_dim, sizeof(float));
  CheckFinite("fill", arrays.fill);
  CheckArray("centre", arrays.centre.size(), arrays.centre.empty() ? 0 : head_dim, sizeof(float));
  CheckFinite("centre", arrays.centre);
  LaneStore store(head_dim, n_kept, n_tokens);
  store.tiles_.Assign(arrays.tiles);
  if (!arrays.order.empty()) std::memcpy(store.order_.data(), arrays.order.data(), head_dim);
  store.fill_.Assign(arrays.fill);
  if (!arrays.centre.empty()) store.centre_.Assign(arrays.centre);
  for (size_t t = 0; t < n_tiles * LaneLayout::kTokens; ++t) store.CheckToken(t);
  store.CountQuads();
  return store;
}

// Of tokens behind the last one as well: kernels read them, and drop what comes of it.
void LaneStore::CheckToken(size_t t) const {
  const auto fail = [&](const char* what) {
    throw Error(what, {.field = "tiles", .found = "token " + std::to_string(t)});
  };
  std::bitset<LaneLayout::kMaxHeadDim> seen;
  for (size_t i = 0; i < StoredChannels(); ++i) {
    const size_t place = Place(t, i);
    if (place >= head_dim_) fail("a number stands for a channel that there is not");
    if (i >= n_kept_ && Code(t, i) != 0) fail("a code stands for no channel");
    if (t >= size_ || i >= n_kept_) continue;
    if (seen[place]) fail("a channel is there twice");
    seen[place] = true;
  }
}

DroppedKeyStore DroppedKeyStore::FromParts(std::vector<uint16_t> channels, DType type,
                                           size_t head_dim, size_t n,
                                           std::span<const std::byte> rows) {
  bool ascending = !channels.empty() && channels.back() < head_dim;
  for (size_t i = 1; i < channels.size(); ++i) {
    ascending = ascending && channels[i - 1] < channels[i];
  }
  if (!ascending) {
    throw Error("not a list of channels",
                {.field = "channels", .allowed = "ascending, below " + std::to_string(head_dim)});
  }
  DroppedKeyStore store(std::move(channels), type, head_dim);
  store.rows_ = DenseStore::FromRows(type, store.channels_.size(), n, rows);
  return store;
}

}  // namespace spark
