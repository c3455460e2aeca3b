// Scores of keys in lanes where a shuffle of bytes looks up in 16 of them (see lane_dots-inl.h):
// most targets.
#if defined(SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#undef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lane_query-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

// Where shuffles of bytes look up in 16 of them. Bytes of a vector:
using LaneByteTag = hn::Repartition<uint8_t, FloatTag>;
using LaneByteVec = hn::Vec<LaneByteTag>;
using LaneCodeVec = hn::Vec<hn::RebindToSigned<LaneByteTag>>;
using LaneSumTag = hn::RebindToSigned<FloatTag>;
using LaneIntSums = IntSums<LaneSumTag>;

// What a chunk of tiles is before its kept channels meet query rows. All of it is stored long
// before it is read: a vector that is loaded right behind the stores of its parts waits for them.
struct LaneChunk {
  static constexpr size_t kTiles = kTokenTile / LaneLayout::kTokens;
  // [W, 2, 4, 16] of every token the lower four, then the upper four bits of byte p of word w.
  HWY_ALIGN uint8_t nibbles[kTiles][LaneLayout::kMaxHeadDim / 32 * 128];
  // The blocks of 16 channels in which all kept channels of a quad are: they are in order, so those
  // of a quad are near each other.
  uint8_t first_block[kTiles][LaneLayout::kMaxHeadDim / 4];
  uint8_t end_block[kTiles][LaneLayout::kMaxHeadDim / 4];
  // A row's sums of the signs of a token, low and high bytes: at most 64 of 127, and of -127.
  HWY_ALIGN int16_t plane_low[kFewQueryRows][kTokenTile];
  HWY_ALIGN int16_t plane_high[kFewQueryRows][kTokenTile];
};

// Up to four blocks are all looked at; to know which of them are needed is not worth it.
inline bool FewBlocks(const LaneLayout& layout) { return layout.words <= 2; }

inline void PrepareLaneTile(const std::byte* tile, const LaneLayout& layout, size_t i_tile,
                            LaneChunk& out) {
  const hn::FixedTag<uint8_t, 16> d;
  using V = hn::Vec<decltype(d)>;
  const V nibble = hn::Set(d, uint8_t{15});
  const auto* signs = reinterpret_cast<const uint8_t*>(tile + LaneLayout::kSigns);
  for (size_t w = 0; w < layout.words; ++w) {
    V b0, b1, b2, b3;
    hn::LoadInterleaved4(d, signs + 64 * w, b0, b1, b2, b3);
    uint8_t* nibbles = out.nibbles[i_tile] + 128 * w;
    const auto store = [&](V bits, size_t p) HWY_ATTR {
      hn::Store(hn::And(bits, nibble), d, nibbles + 16 * p);
      hn::Store(hn::ShiftRight<4>(bits), d, nibbles + 64 + 16 * p);
    };
    store(b0, 0);
    store(b1, 1);
    store(b2, 2);
    store(b3, 3);
  }
  if (FewBlocks(layout)) return;
  const auto* quad = reinterpret_cast<const uint8_t*>(tile + layout.first_quad());
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    const V c0 = hn::LoadU(d, quad), c1 = hn::LoadU(d, quad + 16);
    const V c2 = hn::LoadU(d, quad + 32), c3 = hn::LoadU(d, quad + 48);
    const V least = hn::Min(hn::Min(c0, c1), hn::Min(c2, c3));
    const V most = hn::Max(hn::Max(c0, c1), hn::Max(c2, c3));
    out.first_block[i_tile][i] = hn::ReduceMin(d, least) / 16;
    out.end_block[i_tile][i] = static_cast<uint8_t>(hn::ReduceMax(d, most) / 16 + 1);
  }
}

#if !HWY_HAVE_SCALABLE
// The sum of a vector's blocks of 16 bytes.
template <class D>
HWY_INLINE hn::Vec<hn::FixedTag<hn::TFromD<D>, 16 / sizeof(hn::TFromD<D>)>> FoldBlocks(
    [[maybe_unused]] D d, hn::Vec<D> v) {
  if constexpr (HWY_MAX_LANES_D(D) * sizeof(hn::TFromD<D>) == 16) {
    return v;
  } else {
    const hn::Half<D> half;
    return FoldBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
#endif

// Every 16 bytes of a vector are one byte of 16 tokens' words, and look up in a table of their own.
// Sums for the lower and the upper four bits are added as pairs of neighbours. low, high: [16]
inline void SumLanePlane(const uint8_t* nibbles, size_t words, const uint8_t* tables, int16_t* low,
                         int16_t* high) {
  const LaneByteTag d;
  const hn::RebindToSigned<LaneByteTag> dc;
  const hn::Repartition<int16_t, LaneByteTag> d16;
  const size_t n_bytes = HWY_MIN(hn::Lanes(d), size_t{64});
  const auto ones = hn::Set(d, uint8_t{1});
  const auto signed_ones = hn::Set(dc, int8_t{1});
  const size_t half = 64 * words;
  auto low0 = hn::Zero(d16), low1 = low0, high0 = low0, high1 = low0;  // tokens 0 … 7, 8 … 15
  for (size_t w = 0; w < words; ++w) {
    for (size_t p = 0; p < 64; p += n_bytes) {
      const auto lower = hn::LoadU(d, nibbles + 128 * w + p);
      const auto upper = hn::LoadU(d, nibbles + 128 * w + 64 + p);
      const uint8_t* table = tables + 64 * w + p;
      const auto look_up = [&](const uint8_t* at, auto i)
                               HWY_ATTR { return hn::TableLookupBytes(hn::LoadU(d, at), i); };
      const auto a = look_up(table, lower), b = look_up(table + half, upper);
      low0 =
          hn::Add(low0, hn::SatWidenMulPairwiseAdd(d16, hn::InterleaveLower(d, a, b), signed_ones));
      low1 =
          hn::Add(low1, hn::SatWidenMulPairwiseAdd(d16, hn::InterleaveUpper(d, a, b), signed_ones));
      const auto e = hn::BitCast(dc, look_up(table + 2 * half, lower));
      const auto f = hn::BitCast(dc, look_up(table + 3 * half, upper));
      high0 = hn::Add(high0, hn::SatWidenMulPairwiseAdd(d16, ones, hn::InterleaveLower(dc, e, f)));
      high1 = hn::Add(high1, hn::SatWidenMulPairwiseAdd(d16, ones, hn::InterleaveUpper(dc, e, f)));
    }
  }
  const auto fold = [&](auto sums, int16_t* to) HWY_ATTR {  // over blocks of 16 bytes
    const hn::FixedTag<int16_t, 8> d8;
#if HWY_HAVE_SCALABLE
    HWY_ALIGN int16_t blocks[HWY_MAX_LANES_D(decltype(d16))];
    hn::Store(sums, d16, blocks);
    auto sum = hn::Load(d8, blocks);
    for (size_t i = 8; i < n_bytes / 2; i += 8) sum = hn::Add(sum, hn::Load(d8, blocks + i));
    hn::Store(sum, d8, to);
#else
    hn::Store(FoldBlocks(d16, sums), d8, to);
#endif
  };
  fold(low0, low);
  fold(low1, low + 8);
  fold(high0, high);
  fold(high1, high + 8);
}

// Adds what codes make of elements of q, whose low bytes are in 0 … 127 and whose high bytes in
// -127 … 127, so that 128 sum_high + sum_low grows by it. sizes: |codes|
template <class VU, class VI>
HWY_INLINE void AddSplitDot(VU low, VU high, VI codes, [[maybe_unused]] VU sizes,
                            LaneIntSums& sum_low, [[maybe_unused]] LaneIntSums& sum_high) {
  const LaneSumTag di;
  const hn::RebindToSigned<LaneByteTag> dc;
#if HWY_ARCH_X86
  // Pairs go to 16 bits with saturation, which none reaches: 2 · 127 · 128 < 2^15. All goes into
  // one sum, which 256 channels · 128 · 16256 do not fill.
  const hn::Repartition<int16_t, LaneSumTag> d16;
  const auto signed_high = hn::IfNegativeThenNegOrUndefIfZero(codes, hn::BitCast(dc, high));
  const auto pairs_low = hn::SatWidenMulPairwiseAdd(d16, low, codes);
  const auto pairs_high = hn::SatWidenMulPairwiseAdd(d16, sizes, signed_high);
  const auto of_low = hn::WidenMulPairwiseAdd(di, pairs_low, hn::Set(d16, int16_t{1}));
  const auto of_high = hn::WidenMulPairwiseAdd(di, pairs_high, hn::Set(d16, int16_t{128}));
  sum_low = ToSums(di, hn::Add(FromSums(di, sum_low), hn::Add(of_low, of_high)));
#else
  const auto add = [&](VU bytes, LaneIntSums& sum) HWY_ATTR {
    const auto before = FromSums(di, sum);
    sum = ToSums(di, hn::SumOfMulQuadAccumulate(di, hn::BitCast(dc, bytes), codes, before));
  };
  add(low, sum_low);
  add(high, sum_high);
#endif
}

// One or two bytes of every token, each in a lane of four.
HWY_INLINE LaneByteVec LaneRestAt(const std::byte* p, size_t lane, size_t rest) {
  const LaneByteTag d;
  const hn::Repartition<uint32_t, LaneByteTag> d32;
  p += lane * rest;
  if (rest == 1) {
    const hn::Rebind<uint8_t, decltype(d32)> d8;
    return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(p))));
  }
  const hn::Rebind<uint16_t, decltype(d32)> d16;
  return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p))));
}

// i - 16 b is below 16 for channels i of block b. What comes out finds them by its last four bits,
// and has the top one set for all others, also where the difference has wrapped around: those find
// 0.
HWY_INLINE LaneByteVec PlaceInBlock(LaneByteVec difference) {
  const LaneByteTag d;
  const LaneByteVec checked = hn::SaturatedAdd(difference, hn::Set(d, uint8_t{112}));
#if HWY_ARCH_X86  // looks at the top bit and the last four, others at all of the byte
  return checked;
#else
  return hn::And(checked, hn::Set(d, uint8_t{0x8F}));
#endif
}
HWY_INLINE LaneByteVec LookUp(const uint8_t* block, LaneByteVec places) {
  return hn::TableLookupBytesOr0(hn::LoadDup128(LaneByteTag(), block), places);
}

// Finds the elements of kRows query rows for four channels of each token, and adds their products
// with codes. Sums have names and are no array: vectors of some targets have no size. Channels are
// in any of the four blocks that there are.
template <size_t kRows>
HWY_INLINE void AddQuadOfFour(const uint8_t* table, size_t q_bytes, LaneByteVec channels,
                              LaneCodeVec codes, LaneByteVec sizes, LaneIntSums& low0,
                              LaneIntSums& high0, LaneIntSums& low1, LaneIntSums& high1,
                              LaneIntSums& low2, LaneIntSums& high2) {
  const LaneByteTag d;
  const auto place = [&](uint8_t first) SPARK_INLINE_LAMBDA {
    return PlaceInBlock(hn::Sub(channels, hn::Set(d, first)));
  };
  const auto p0 = PlaceInBlock(channels), p1 = place(16), p2 = place(32), p3 = place(48);
  const auto find = [&](const uint8_t* at) SPARK_INLINE_LAMBDA {
    return hn::Or(hn::Or(LookUp(at, p0), LookUp(at + 16, p1)),
                  hn::Or(LookUp(at + 32, p2), LookUp(at + 48, p3)));
  };
  const auto add = [&](size_t row, LaneIntSums& low, LaneIntSums& high) SPARK_INLINE_LAMBDA {
    const uint8_t* at = table + row * q_bytes;
    AddSplitDot(find(at), find(at + q_bytes / 2), codes, sizes, low, high);
  };
  add(0, low0, high0);
  if constexpr (kRows > 1) add(1, low1, high1);
  if constexpr (kRows > 2) add(2, low2, high2);
}

// The same; channels are in `n` blocks, of which the table begins with the one of channel `first`.
template <size_t kRows>
HWY_INLINE void AddQuadOfBlocks(const uint8_t* table, size_t q_bytes, size_t first, size_t n,
                                LaneByteVec channels, LaneCodeVec codes, LaneByteVec sizes,
                                LaneIntSums& low0, LaneIntSums& high0, LaneIntSums& low1,
                                LaneIntSums& high1, LaneIntSums& low2, LaneIntSums& high2) {
  using V = LaneByteVec;
  const LaneByteTag d;
  V q_low0 = hn::Zero(d), q_high0 = q_low0, q_low1 = q_low0, q_high1 = q_low0;
  V q_low2 = q_low0, q_high2 = q_low0;
  const V sixteen = hn::Set(d, uint8_t{16});
  V difference = hn::Sub(channels, hn::Set(d, static_cast<uint8_t>(first)));
  for (const uint8_t* end = table + 16 * n; table != end; table += 16) {
    const V places = PlaceInBlock(difference);
    const auto find = [&](size_t row, V& low, V& high) SPARK_INLINE_LAMBDA {
      low = hn::Or(low, LookUp(table + row * q_bytes, places));
      high = hn::Or(high, LookUp(table + row * q_bytes + q_bytes / 2, places));
    };
    find(0, q_low0, q_high0);
    if constexpr (kRows > 1) find(1, q_low1, q_high1);
    if constexpr (kRows > 2) find(2, q_low2, q_high2);
    difference = hn::Sub(difference, sixteen);
  }
  AddSplitDot(q_low0, q_high0, codes, sizes, low0, high0);
  if constexpr (kRows > 1) AddSplitDot(q_low1, q_high1, codes, sizes, low1, high1);
  if constexpr (kRows > 2) AddSplitDot(q_low2, q_high2, codes, sizes, low2, high2);
}

// Scores of kRows query rows with the first n of the tokens in lanes [lane, lane + Lanes(df)) of a
// tile, the i_tile-th of a chunk.
template <size_t kRows, bool kFewBlocks>
HWY_INLINE void LanesScores(const std::byte* tile, const LaneLayout& layout, const LaneChunk& chunk,
                            size_t i_tile, const LaneQuery& query, size_t first_row, size_t lane,
                            size_t n, float* scores, size_t stride) {
  const FloatTag df;
  const LaneSumTag di;
  const LaneByteTag d;
  const hn::RebindToSigned<LaneByteTag> dc;
  const auto zero = ToSums(di, hn::Zero(di));
  auto low0 = zero, high0 = zero, low1 = zero, high1 = zero, low2 = zero, high2 = zero;
  const uint8_t* table = query.q + first_row * query.q_bytes;
  // end: of the blocks from `first` on
  const auto add = [&](size_t first, size_t end, LaneByteVec channels,
                       LaneByteVec code_bytes) SPARK_INLINE_LAMBDA {
    const LaneCodeVec codes = hn::BitCast(dc, code_bytes);
    const LaneByteVec sizes = hn::BitCast(d, hn::Abs(codes));
    if constexpr (kFewBlocks) {
      AddQuadOfFour<kRows>(table, query.q_bytes, channels, codes, sizes, low0, high0, low1, high1,
                           low2, high2);
    } else {
      AddQuadOfBlocks<kRows>(table + 16 * first, query.q_bytes, 16 * first, end - first, channels,
                             codes, sizes, low0, high0, low1, high1, low2, high2);
    }
  };
  const auto* quad = reinterpret_cast<const uint8_t*>(tile + layout.first_quad()) + 4 * lane;
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    const auto channels = hn::LoadU(d, quad), codes = hn::LoadU(d, quad + 64);
    if constexpr (kFewBlocks) {
      // Lest g++ loads all tables before the loop, and keeps them in memory again.
      hwy::PreventElision(table);
      add(0, 4, channels, codes);
    } else {
      add(chunk.first_block[i_tile][i], chunk.end_block[i_tile][i], channels, codes);
    }
  }
  if (layout.rest > 0) {
    const std::byte* rest = tile + layout.first_quad() + layout.quads * LaneLayout::kQuadBytes;
    add(0, query.q_bytes / 32, LaneRestAt(rest, lane, layout.rest),
        LaneRestAt(rest + LaneLayout::kTokens * layout.rest, lane, layout.rest));
  }
  const hn::Rebind<int16_t, LaneSumTag> d16;
  const FloatVec scale = LaneHalves(df, tile + LaneLayout::kScales + 2 * lane);
  const FloatVec scalar = LaneHalves(df, tile + LaneLayout::kScalars + 2 * lane);
  const size_t t = i_tile * LaneLayout::kTokens + lane;
  const auto store = [&](size_t row, auto low, auto high) SPARK_INLINE_LAMBDA {
    const size_t r = first_row + row;
    const auto plane = JoinSums(hn::PromoteTo(di, hn::LoadU(d16, chunk.plane_low[r] + t)),
                                hn::PromoteTo(di, hn::LoadU(d16, chunk.plane_high[r] + t)));
    const FloatVec score = LaneScore(df, query, r, scale, scalar,
                                     JoinSums(FromSums(di, low), FromSums(di, high)), plane);
    StoreUpTo(df, score, scores + r * stride + t, n);
  };
  store(0, low0, high0);
  if constexpr (kRows > 1) store(1, low1, high1);
  if constexpr (kRows > 2) store(2, low2, high2);
}

template <bool kFewBlocks, class Memory>
HWY_INLINE void LaneChunkScores(const std::byte* tiles, const LaneLayout& layout,
                                const LaneChunk& chunk, size_t n, const LaneQuery& query,
                                size_t n_rows, float* scores, size_t stride, Memory& memory) {
  auto ahead = memory.Begin();
  for (size_t t = 0; t < n; t += hn::Lanes(FloatTag())) {
    const size_t i_tile = t / LaneLayout::kTokens;
    if (t % LaneLayout::kTokens == 0) ahead.Step();
    ByThreeRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
      LanesScores<rows, kFewBlocks>(tiles + i_tile * layout.tile_bytes(), layout, chunk, i_tile,
                                    query, r, t % LaneLayout::kTokens, n - t, scores, stride);
    });
  }
  memory.End(ahead);
}

// first: a multiple of 16; n <= kTokenTile. Steps once a tile.
template <class Memory>
void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query, size_t n_rows,
              float* scores, size_t stride, Memory& memory) {
  const LaneLayout& layout = keys.lanes->layout();
  const std::byte* tiles = keys.lanes->Tile(first / LaneLayout::kTokens);
  LaneChunk chunk;
  for (size_t i = 0; i * LaneLayout::kTokens < n; ++i) {
    PrepareLaneTile(tiles + i * layout.tile_bytes(), layout, i, chunk);
  }
  for (size_t t = 0; t < n; t += LaneLayout::kTokens) {
    for (size_t r = 0; r < n_rows; ++r) {
      SumLanePlane(chunk.nibbles[t / LaneLayout::kTokens], layout.words,
                   query.sums + r * query.sums_bytes, chunk.plane_low[r] + t,
                   chunk.plane_high[r] + t);
    }
  }
  if (FewBlocks(layout)) {
    LaneChunkScores<true>(tiles, layout, chunk, n, query, n_rows, scores, stride, memory);
  } else {
    LaneChunkScores<false>(tiles, layout, chunk, n, query, n_rows, scores, stride, memory);
  }
}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
