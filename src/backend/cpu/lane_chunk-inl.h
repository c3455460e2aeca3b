// What tiles of keys in lanes become before their kept channels meet query rows, where a shuffle of
// bytes looks up in 16 of them (see lane_shuffles-inl.h). Kept channels go by their places in the
// store's order.
#if defined(SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_
#undef SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lane_query-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

using LaneByteTag = hn::Repartition<uint8_t, FloatTag>;  // at most 64
using LaneByteVec = hn::Vec<LaneByteTag>;
using LaneCodeTag = hn::RebindToSigned<LaneByteTag>;
using LaneCodeVec = hn::Vec<LaneCodeTag>;

// Up to kTokenTile tokens. All of it is stored long before it is read: a vector that is loaded
// right behind the stores of its parts waits for them.
struct LaneChunk {
  static constexpr size_t kTiles = kTokenTile / LaneLayout::kTokens;
  static constexpr size_t kRest = 2;  // channels a token of what quads leave

  // Bit b of set i of a token is the sign of its channel 4i + b.
  HWY_ALIGN uint8_t nibbles[LaneLayout::kMaxHeadDim / 4][kTokenTile];
  // The kept channels before those of quads, and their codes; a second one that is none has code 0.
  HWY_ALIGN uint8_t rest_channels[kTokenTile][kRest];
  HWY_ALIGN int8_t rest_codes[kTokenTile][kRest];
  // The blocks of 16 places in which all kept channels of a quad are: they are in order, so those
  // of a quad are near each other.
  uint8_t first_block[kTiles][LaneLayout::kMaxHeadDim / 4];
  uint8_t end_block[kTiles][LaneLayout::kMaxHeadDim / 4];
  // Where there are few blocks: LaneStore::QuadsWithin() of all tiles together.
  size_t quads_within[LaneLayout::kFewBlocks];
  size_t rest_end;  // blocks, from the first on, that the rest is in
  // A row's sums of the signs of a token, low and high bytes: at most 64 of 127, and of -127.
  HWY_ALIGN int16_t plane_low[kFewQueryRows][kTokenTile];
  HWY_ALIGN int16_t plane_high[kFewQueryRows][kTokenTile];
  // A row's sums of codes times elements of q, of the rest.
  HWY_ALIGN int32_t rest[kFewQueryRows][kTokenTile];
};

inline void PrepareSigns(const std::byte* tile, const LaneLayout& layout, size_t t,
                         LaneChunk& out) {
  const hn::FixedTag<uint8_t, 16> d;
  using V = hn::Vec<decltype(d)>;
  const V nibble = hn::Set(d, uint8_t{15});
  const auto* signs = reinterpret_cast<const uint8_t*>(tile + LaneLayout::kSigns);
  for (size_t w = 0; w < layout.words; ++w) {
    V b0, b1, b2, b3;
    hn::LoadInterleaved4(d, signs + 64 * w, b0, b1, b2, b3);
    const auto store = [&](V bits, size_t p) HWY_ATTR {
      const size_t i = 2 * (4 * w + p);
      hn::Store(hn::And(bits, nibble), d, out.nibbles[i] + t);
      hn::Store(hn::ShiftRight<4>(bits), d, out.nibbles[i + 1] + t);
    };
    store(b0, 0);
    store(b1, 1);
    store(b2, 2);
    store(b3, 3);
  }
}

// [16, rest] bytes to [16, kRest].
inline void WidenRest(const std::byte* from, size_t rest, void* to) {
  const hn::FixedTag<uint8_t, 16> d;
  const auto* in = reinterpret_cast<const uint8_t*>(from);
  auto* out = static_cast<uint8_t*>(to);
  const auto first = hn::LoadU(d, in);
  if (rest == 1) {
    hn::Store(hn::InterleaveLower(d, first, hn::Zero(d)), d, out);
    hn::Store(hn::InterleaveUpper(d, first, hn::Zero(d)), d, out + 16);
  } else {
    hn::Store(first, d, out);
    hn::Store(hn::LoadU(d, in + 16), d, out + 16);
  }
}

inline void FindBlocks(const std::byte* tile, const LaneLayout& layout, size_t i_tile,
                       LaneChunk& out) {
  const hn::FixedTag<uint8_t, 16> d;
  const auto* quad = reinterpret_cast<const uint8_t*>(tile + layout.first_quad());
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    const auto c0 = hn::LoadU(d, quad), c1 = hn::LoadU(d, quad + 16);
    const auto c2 = hn::LoadU(d, quad + 32), c3 = hn::LoadU(d, quad + 48);
    const auto least = hn::Min(hn::Min(c0, c1), hn::Min(c2, c3));
    const auto most = hn::Max(hn::Max(c0, c1), hn::Max(c2, c3));
    out.first_block[i_tile][i] = hn::ReduceMin(d, least) / 16;
    out.end_block[i_tile][i] = static_cast<uint8_t>(hn::ReduceMax(d, most) / 16 + 1);
  }
}

// Most quads lie in one block or two, and as many in one chunk as in the next, so how long a loop
// over those of a block is gets foreseen.
inline void FindFewBlocks(const LaneStore& keys, size_t first_tile, size_t n, LaneChunk& out) {
  const uint8_t* within = keys.QuadsWithin(first_tile);
  const size_t n_tiles = CeilDiv(n, LaneLayout::kTokens);
  for (size_t b = 0; b < LaneLayout::kFewBlocks; ++b) {
    uint8_t least = within[b];
    for (size_t i = 1; i < n_tiles; ++i) {
      least = std::min(least, within[i * LaneLayout::kFewBlocks + b]);
    }
    out.quads_within[b] = least;
  }
}

inline void FindRestBlocks(size_t n, LaneChunk& out) {
  const LaneByteTag d;
  LaneByteVec most = hn::Zero(d);
  for (size_t t = 0; t < n; t += hn::Lanes(d) / LaneChunk::kRest) {
    most = hn::Max(most, hn::Load(d, out.rest_channels[t]));
  }
  out.rest_end = hn::ReduceMax(d, most) / 16u + 1u;
}

inline void PrepareLaneTile(const std::byte* tile, const LaneLayout& layout, size_t i_tile,
                            LaneChunk& out) {
  const size_t t = i_tile * LaneLayout::kTokens;
  PrepareSigns(tile, layout, t, out);
  if (layout.rest > 0) {
    const std::byte* rest = tile + layout.first_rest();
    WidenRest(rest, layout.rest, out.rest_channels[t]);
    WidenRest(rest + LaneLayout::kTokens * layout.rest, layout.rest, out.rest_codes[t]);
  }
  if (!layout.few_blocks()) FindBlocks(tile, layout, i_tile, out);
}

// n tokens from tile `first_tile` on, and what else vectors of signs and of the rest will read.
inline void PrepareLaneChunk(const LaneStore& keys, size_t first_tile, size_t n, LaneChunk& out) {
  const LaneLayout& layout = keys.layout();
  const std::byte* tiles = keys.Tile(first_tile);
  size_t t = 0;
  for (; t < n; t += LaneLayout::kTokens) {
    const size_t i = t / LaneLayout::kTokens;
    PrepareLaneTile(tiles + i * layout.tile_bytes(), layout, i, out);
  }
  const size_t behind = RoundUp(n, hn::Lanes(LaneByteTag())) - t;
  if (behind > 0) {
    for (size_t i = 0; i < 8 * layout.words; ++i) std::memset(out.nibbles[i] + t, 0, behind);
    std::memset(out.rest_channels[t], 0, behind * LaneChunk::kRest);
    std::memset(out.rest_codes[t], 0, behind * LaneChunk::kRest);
  }
  if (layout.few_blocks()) FindFewBlocks(keys, first_tile, n, out);
  if (layout.rest > 0) FindRestBlocks(n, out);
}

// Sums of bytes in words, for every byte of a vector: of odd ones, and of even ones, with which 256
// times the odd ones come along, modulo 2^16.
using LaneWordTag = hn::Repartition<uint16_t, LaneByteTag>;
using LaneWordVec = hn::Vec<LaneWordTag>;
HWY_INLINE void AddBytes(LaneByteVec bytes, LaneWordVec& even, LaneWordVec& odd) {
  const auto words = hn::BitCast(LaneWordTag(), bytes);
  even = hn::Add(even, words);
  odd = hn::Add(odd, hn::ShiftRight<8>(words));
}
// Less `bias`, in the order of bytes.
HWY_INLINE void StoreByteSums(LaneWordVec even, LaneWordVec odd, uint16_t bias, int16_t* to) {
  const LaneWordTag d;
  const hn::RebindToSigned<LaneWordTag> di;
  const LaneWordVec less = hn::Set(d, bias);
  even = hn::Sub(hn::Sub(even, hn::ShiftLeft<8>(odd)), less);
  odd = hn::Sub(odd, less);
  hn::Store(hn::BitCast(di, hn::InterleaveWholeLower(d, even, odd)), di, to);
  hn::Store(hn::BitCast(di, hn::InterleaveWholeUpper(d, even, odd)), di, to + hn::Lanes(d));
}

// A query row's sums of signs for n tokens. tables: the row's in LaneQuery::sums. Every byte of a
// vector is a token. low, high: [kTokenTile]
inline void SumLanePlane(const LaneChunk& chunk, size_t n, size_t words, const uint8_t* tables,
                         int16_t* low, int16_t* high) {
  const LaneByteTag d;
  const size_t part = 64 * words;  // bytes of low or high bytes of four of every eight channels
  for (size_t t = 0; t < n; t += hn::Lanes(d)) {
    LaneWordVec low_even = hn::Zero(LaneWordTag());
    LaneWordVec low_odd = low_even, high_even = low_even, high_odd = low_even;
    for (size_t i = 0; i < 4 * words; ++i) {
      const uint8_t* table = tables + 16 * i;
      const auto lower = hn::Load(d, chunk.nibbles[2 * i] + t);
      const auto upper = hn::Load(d, chunk.nibbles[2 * i + 1] + t);
      const auto look_up = [&](const uint8_t* at, LaneByteVec places) SPARK_INLINE_LAMBDA {
        return hn::TableLookupBytes(hn::LoadDup128(d, at), places);
      };
      // At most 2 · 127, which is a byte.
      const auto both = hn::Add(look_up(table, lower), look_up(table + part, upper));
      AddBytes(both, low_even, low_odd);
      AddBytes(look_up(table + 2 * part, lower), high_even, high_odd);
      AddBytes(look_up(table + 3 * part, upper), high_even, high_odd);
    }
    StoreByteSums(low_even, low_odd, 0, low + t);
    StoreByteSums(high_even, high_odd, static_cast<uint16_t>(8 * words * kSumHighBias), high + t);
  }
}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_
