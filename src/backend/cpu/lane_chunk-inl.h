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
  // A row's sums of the signs of a token: at most 64 of ±127.
  HWY_ALIGN int16_t plane[kFewQueryRows][kTokenTile];
  // A row's sums of codes times elements of q, of the rest.
  HWY_ALIGN int32_t rest[kFewQueryRows][kTokenTile];
};

// A block of 16 bytes of every vector is of another tile: load(k) has the words of tokens 4k … 4k +
// 3 of each. to(i): where set i of their tokens goes.
template <class D, class Load, class To>
HWY_INLINE void PrepareWord(D d, const Load& load, const To& to) {
  const hn::Repartition<uint32_t, D> d32;
  const hn::Repartition<uint64_t, D> d64;
  HWY_ALIGN static constexpr uint8_t kByBytes[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                     2, 6, 10, 14, 3, 7, 11, 15};
  const auto by_bytes = hn::LoadDup128(d, kByBytes);
  const auto four_tokens = [&](size_t k) SPARK_INLINE_LAMBDA {
    return hn::BitCast(d32, hn::TableLookupBytes(load(k), by_bytes));
  };
  const auto t0 = four_tokens(0), t4 = four_tokens(1), t8 = four_tokens(2), t12 = four_tokens(3);
  const auto whole = [&](auto a, auto b) SPARK_INLINE_LAMBDA {
    return hn::BitCast(d64, hn::InterleaveLower(d32, a, b));
  };
  const auto whole_upper = [&](auto a, auto b) SPARK_INLINE_LAMBDA {
    return hn::BitCast(d64, hn::InterleaveUpper(d32, a, b));
  };
  const auto store = [&](auto bytes, size_t p) SPARK_INLINE_LAMBDA {
    const auto bits = hn::BitCast(d, bytes);
    const auto nibble = hn::Set(d, uint8_t{15});
    hn::Store(hn::And(bits, nibble), d, to(2 * p));
    hn::Store(hn::ShiftRight<4>(bits), d, to(2 * p + 1));
  };
  const auto a = whole(t0, t4), b = whole(t8, t12);
  store(hn::InterleaveLower(d64, a, b), 0);
  store(hn::InterleaveUpper(d64, a, b), 1);
  const auto a_upper = whole_upper(t0, t4), b_upper = whole_upper(t8, t12);
  store(hn::InterleaveLower(d64, a_upper, b_upper), 2);
  store(hn::InterleaveUpper(d64, a_upper, b_upper), 3);
}

// Signs of n_tiles tiles.
inline void PrepareSigns(const std::byte* tiles, const LaneLayout& layout, size_t n_tiles,
                         LaneChunk& out) {
  const hn::FixedTag<uint8_t, 16> d;
  const auto at = [&](size_t i, size_t w, size_t k) HWY_ATTR {
    const std::byte* words = tiles + i * layout.tile_bytes() + LaneLayout::kSigns;
    return hn::LoadU(d, reinterpret_cast<const uint8_t*>(words) + 64 * w + 16 * k);
  };
  const auto prepare = [&](auto d_tiles, size_t i, const auto& load) HWY_ATTR {
    for (size_t w = 0; w < layout.words; ++w) {
      PrepareWord(
          d_tiles, [&](size_t k) HWY_ATTR { return load(w, k); },
          [&](size_t set) { return out.nibbles[8 * w + set] + i * LaneLayout::kTokens; });
    }
  };
  size_t i = 0;
#if HWY_ARCH_X86 && HWY_MAX_BYTES >= 32
  const hn::FixedTag<uint8_t, 32> d_two;
  for (; i + 2 <= n_tiles; i += 2) {
    prepare(d_two, i, [&](size_t w, size_t k) HWY_ATTR {
      return hn::Combine(d_two, at(i + 1, w, k), at(i, w, k));
    });
  }
#endif
  for (; i < n_tiles; ++i) prepare(d, i, [&](size_t w, size_t k) HWY_ATTR { return at(i, w, k); });
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
  PrepareSigns(tiles, layout, CeilDiv(n, LaneLayout::kTokens), out);
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
using LaneWordSums = IntSums<LaneWordTag>;
HWY_INLINE void AddBytes(LaneByteVec bytes, LaneWordSums& even, LaneWordSums& odd) {
  const LaneWordTag d;
  const auto words = hn::BitCast(d, bytes);
  even = ToSums(d, hn::Add(FromSums(d, even), words));
  odd = ToSums(d, hn::Add(FromSums(d, odd), hn::ShiftRight<8>(words)));
}
// Less `bias`, in the order of bytes.
HWY_INLINE void StoreByteSums(LaneWordSums even_sums, LaneWordSums odd_sums, uint16_t bias,
                              int16_t* to) {
  const LaneWordTag d;
  const hn::RebindToSigned<LaneWordTag> di;
  const auto less = hn::Set(d, bias), both = FromSums(d, odd_sums);
  const auto even = hn::Sub(hn::Sub(FromSums(d, even_sums), hn::ShiftLeft<8>(both)), less);
  const auto odd = hn::Sub(both, less);
  hn::Store(hn::BitCast(di, hn::InterleaveWholeLower(d, even, odd)), di, to);
  hn::Store(hn::BitCast(di, hn::InterleaveWholeUpper(d, even, odd)), di, to + hn::Lanes(d));
}

// A query row's sums of signs for n tokens. tables: the row's in LaneQuery::sums. Every byte of a
// vector is a token. sums: [kTokenTile]
inline void SumLanePlane(const LaneChunk& chunk, size_t n, size_t words, const uint8_t* tables,
                         int16_t* sums) {
  const LaneByteTag d;
  for (size_t t = 0; t < n; t += hn::Lanes(d)) {
    LaneWordSums even = ToSums(LaneWordTag(), hn::Zero(LaneWordTag()));
    LaneWordSums odd = even;
    for (size_t i = 0; i < 4 * words; ++i) {
      const auto add = [&](const uint8_t* table, size_t nibble) SPARK_INLINE_LAMBDA {
        const auto places = hn::Load(d, chunk.nibbles[nibble] + t);
        AddBytes(hn::TableLookupBytes(hn::LoadDup128(d, table), places), even, odd);
      };
      add(tables + 16 * i, 2 * i);
      add(tables + 16 * i + 64 * words, 2 * i + 1);
    }
    StoreByteSums(even, odd, static_cast<uint16_t>(8 * words * kSumBias), sums + t);
  }
}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_CHUNK_INL_H_
