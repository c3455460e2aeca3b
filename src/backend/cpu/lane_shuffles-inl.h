// Scores of keys in lanes where a shuffle of bytes looks up in 16 of them (see lane_dots-inl.h):
// most targets. Kept channels go by their places in the store's order.
#if defined(SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#undef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lane_chunk-inl.h"
#include "backend/cpu/lane_query-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

using LaneSumTag = hn::RebindToSigned<FloatTag>;
using LaneIntSums = IntSums<LaneSumTag>;

// Products of codes with signed bytes in -127 … 127, summed by twos. None saturates: 2 · 128 · 127
// < 2^15.
template <class VU, class VI>
HWY_INLINE hn::Vec<hn::Repartition<int16_t, LaneByteTag>> PairProducts(VU bytes, VI codes,
                                                                       VU sizes) {
  const auto signed_bytes =
      hn::IfNegativeThenNegOrUndefIfZero(codes, hn::BitCast(LaneCodeTag(), bytes));
  return hn::SatWidenMulPairwiseAdd(hn::Repartition<int16_t, LaneByteTag>(), sizes, signed_bytes);
}

// Adds products of codes with elements of q, which have kBytes bytes, to a token's sum: elements in
// `low`, or low bytes in 0 … 127 and high ones in -127 … 127. sizes: |codes|. One sum takes
// them all: 256 channels · 128 · 16256 do not fill it.
template <size_t kBytes, class VU, class VI>
HWY_INLINE void AddCodes(VU low, [[maybe_unused]] VU high, VI codes, [[maybe_unused]] VU sizes,
                         LaneIntSums& sum) {
  const LaneSumTag di;
  auto all = FromSums(di, sum);
#if HWY_ARCH_X86
  const hn::Repartition<int16_t, LaneSumTag> d16;
  const auto one = hn::Set(d16, int16_t{1});
  if constexpr (kBytes == 1) {
    all = hn::Add(all, hn::WidenMulPairwiseAdd(di, PairProducts(low, codes, sizes), one));
  } else {
    const auto pairs_low = hn::SatWidenMulPairwiseAdd(d16, low, codes);
    const auto pairs_high = PairProducts(high, codes, sizes);
    const auto of_low = hn::WidenMulPairwiseAdd(di, pairs_low, one);
    const auto of_high = hn::WidenMulPairwiseAdd(di, pairs_high, hn::Set(d16, int16_t{128}));
    all = hn::Add(all, hn::Add(of_low, of_high));
  }
#else
  const LaneCodeTag dc;
  if constexpr (kBytes == 2) {
    const auto of_high = hn::SumOfMulQuadAccumulate(di, hn::BitCast(dc, high), codes, hn::Zero(di));
    all = hn::Add(all, hn::ShiftLeft<7>(of_high));
  }
  all = hn::SumOfMulQuadAccumulate(di, hn::BitCast(dc, low), codes, all);
#endif
  sum = ToSums(di, all);
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

// Calls use(row, low bytes, high bytes) with the elements of kRows query rows that channels stand
// for; those of one byte are the low ones. They are in `n` blocks, of which the table begins with
// the one of channel `first`. Vectors have names and are in no array: those of some targets have no
// size.
template <size_t kRows, size_t kBytes, class Use>
HWY_INLINE void FindInBlocks(const uint8_t* table, size_t q_bytes, size_t first, size_t n,
                             LaneByteVec channels, const Use& use) {
  using V = LaneByteVec;
  const LaneByteTag d;
  V low0 = hn::Zero(d), low1 = low0, low2 = low0, low3 = low0;
  V high0 = low0, high1 = low0, high2 = low0, high3 = low0;
  const V sixteen = hn::Set(d, uint8_t{16});
  V difference = hn::Sub(channels, hn::Set(d, static_cast<uint8_t>(first)));
  for (const uint8_t* end = table + 16 * n; table != end; table += 16) {
    const V places = PlaceInBlock(difference);
    const auto find = [&](size_t row, V& low, V& high) SPARK_INLINE_LAMBDA {
      const uint8_t* at = table + row * q_bytes;
      low = hn::Or(low, LookUp(at, places));
      if constexpr (kBytes == 2) high = hn::Or(high, LookUp(at + q_bytes / 2, places));
    };
    find(0, low0, high0);
    if constexpr (kRows > 1) find(1, low1, high1);
    if constexpr (kRows > 2) find(2, low2, high2);
    if constexpr (kRows > 3) find(3, low3, high3);
    difference = hn::Sub(difference, sixteen);
  }
  use(std::integral_constant<size_t, 0>(), low0, high0);
  if constexpr (kRows > 1) use(std::integral_constant<size_t, 1>(), low1, high1);
  if constexpr (kRows > 2) use(std::integral_constant<size_t, 2>(), low2, high2);
  if constexpr (kRows > 3) use(std::integral_constant<size_t, 3>(), low3, high3);
}

// The same in the first kBlocks blocks, up to four.
template <size_t kRows, size_t kBytes, size_t kBlocks, class Use>
HWY_INLINE void FindInFirst(const uint8_t* table, size_t q_bytes, LaneByteVec channels,
                            const Use& use) {
  const LaneByteTag d;
  const auto place = [&](uint8_t first) SPARK_INLINE_LAMBDA {
    return PlaceInBlock(hn::Sub(channels, hn::Set(d, first)));
  };
  // What is below 16 needs no check.
  const auto p0 = kBlocks == 1 ? channels : PlaceInBlock(channels);
  const auto p1 = kBlocks > 1 ? place(16) : p0;
  const auto p2 = kBlocks > 2 ? place(32) : p0;
  const auto p3 = kBlocks > 3 ? place(48) : p0;
  const auto find = [&](const uint8_t* at) SPARK_INLINE_LAMBDA {
    auto found = LookUp(at, p0);
    if constexpr (kBlocks > 1) found = hn::Or(found, LookUp(at + 16, p1));
    if constexpr (kBlocks == 3) found = hn::Or(found, LookUp(at + 32, p2));
    if constexpr (kBlocks == 4) {
      found = hn::Or(found, hn::Or(LookUp(at + 32, p2), LookUp(at + 48, p3)));
    }
    return found;
  };
  const auto find_row = [&](auto row) SPARK_INLINE_LAMBDA {
    const uint8_t* at = table + row * q_bytes;
    use(row, find(at), kBytes == 2 ? find(at + q_bytes / 2) : hn::Zero(d));
  };
  // Lest g++ loads all tables before the loop around this, and keeps them in memory again.
  hwy::PreventElision(table);
  find_row(std::integral_constant<size_t, 0>());
  if constexpr (kRows > 1) find_row(std::integral_constant<size_t, 1>());
  if constexpr (kRows > 2) find_row(std::integral_constant<size_t, 2>());
  if constexpr (kRows > 3) find_row(std::integral_constant<size_t, 3>());
}

// Elements of q times codes of the rest of n tokens, for kRows query rows.
template <size_t kRows, size_t kBytes>
HWY_INLINE void SumLaneRest(LaneChunk& chunk, size_t n, const LaneQuery& query, size_t first_row) {
  const LaneByteTag d;
  const LaneCodeTag dc;
  const LaneSumTag di;
  const hn::Repartition<int16_t, LaneByteTag> d16;  // a lane is a token
  const uint8_t* table = query.q + first_row * query.q_bytes;
  for (size_t t = 0; t < n; t += hn::Lanes(d16)) {
    const auto channels = hn::Load(d, chunk.rest_channels[t]);
    const auto codes = hn::Load(dc, chunk.rest_codes[t]);
    const auto sizes = hn::BitCast(d, hn::Abs(codes));
    const auto use = [&](auto row, LaneByteVec low, LaneByteVec high) SPARK_INLINE_LAMBDA {
      int32_t* sums = chunk.rest[first_row + row] + t;
      const auto store = [&](auto first_half, auto second_half) SPARK_INLINE_LAMBDA {
        hn::Store(first_half, di, sums);
        hn::Store(second_half, di, sums + hn::Lanes(di));
      };
      if constexpr (kBytes == 1) {
        const auto products = PairProducts(low, codes, sizes);
        store(hn::PromoteLowerTo(di, products), hn::PromoteUpperTo(di, products));
      } else {
        const auto of_low = hn::SatWidenMulPairwiseAdd(d16, low, codes);
        const auto of_high = PairProducts(high, codes, sizes);
        store(JoinSums(hn::PromoteLowerTo(di, of_low), hn::PromoteLowerTo(di, of_high)),
              JoinSums(hn::PromoteUpperTo(di, of_low), hn::PromoteUpperTo(di, of_high)));
      }
    };
    FindInBlocks<kRows, kBytes>(table, query.q_bytes, 0, chunk.rest_end, channels, use);
  }
}

// Scores of the tokens in lanes [lane, lane + Lanes(df)) of a tile, the i_tile-th of a chunk of n
// tokens that has its other sums, for kRows query rows. scores: of the chunk's first token
template <size_t kRows, size_t kBytes, bool kFewBlocks>
HWY_INLINE void ScoreLanes(const std::byte* tile, const LaneLayout& layout, const LaneChunk& chunk,
                           size_t i_tile, const LaneQuery& query, size_t first_row, size_t lane,
                           size_t n, float* scores, size_t stride, LinesAhead& ahead) {
  const FloatTag df;
  const LaneSumTag di;
  const LaneByteTag d;
  const LaneCodeTag dc;
  const size_t t = i_tile * LaneLayout::kTokens + lane;
  const hn::Rebind<int16_t, LaneSumTag> d16;
  const auto rest = [&](size_t row) SPARK_INLINE_LAMBDA {
    if (row >= kRows || layout.rest == 0) return ToSums(di, hn::Zero(di));
    return ToSums(di, hn::Load(di, chunk.rest[first_row + row] + t));
  };
  auto kept0 = rest(0), kept1 = rest(1), kept2 = rest(2), kept3 = rest(3);
  const uint8_t* table = query.q + first_row * query.q_bytes;
  const auto* quad = reinterpret_cast<const uint8_t*>(tile + layout.first_quad()) + 4 * lane;
  size_t i = 0;
  const auto add_quad = [&](const auto& find) SPARK_INLINE_LAMBDA {
    const LaneByteVec channels = hn::LoadU(d, quad);
    const LaneCodeVec codes = hn::BitCast(dc, hn::LoadU(d, quad + 64));
    const LaneByteVec sizes = hn::BitCast(d, hn::Abs(codes));
    const auto use = [&](auto row, LaneByteVec low, LaneByteVec high) SPARK_INLINE_LAMBDA {
      if constexpr (row == 0) AddCodes<kBytes>(low, high, codes, sizes, kept0);
      if constexpr (row == 1) AddCodes<kBytes>(low, high, codes, sizes, kept1);
      if constexpr (row == 2) AddCodes<kBytes>(low, high, codes, sizes, kept2);
      if constexpr (row == 3) AddCodes<kBytes>(low, high, codes, sizes, kept3);
    };
    find(channels, use);
    ++i;
    quad += LaneLayout::kQuadBytes;
  };
  if constexpr (kFewBlocks) {
    const auto add_within = [&](auto blocks) SPARK_INLINE_LAMBDA {
      while (i < chunk.quads_within[blocks - 1]) {
        add_quad([&](LaneByteVec channels, const auto& use) SPARK_INLINE_LAMBDA {
          FindInFirst<kRows, kBytes, blocks>(table, query.q_bytes, channels, use);
        });
      }
    };
    add_within(std::integral_constant<size_t, 1>());
    add_within(std::integral_constant<size_t, 2>());
    add_within(std::integral_constant<size_t, 3>());
    add_within(std::integral_constant<size_t, 4>());
  } else {
    while (i < layout.quads) {
      ahead.Step();
      const size_t first = chunk.first_block[i_tile][i], end = chunk.end_block[i_tile][i];
      add_quad([&](LaneByteVec channels, const auto& use) SPARK_INLINE_LAMBDA {
        FindInBlocks<kRows, kBytes>(table + 16 * first, query.q_bytes, 16 * first, end - first,
                                    channels, use);
      });
    }
  }
  const FloatVec scale = LaneHalves(df, tile + LaneLayout::kScales + 2 * lane);
  const FloatVec scalar = LaneHalves(df, tile + LaneLayout::kScalars + 2 * lane);
  const auto store = [&](size_t row, LaneIntSums kept) SPARK_INLINE_LAMBDA {
    const size_t r = first_row + row;
    const auto plane = hn::PromoteTo(di, hn::Load(d16, chunk.plane[r] + t));
    const FloatVec score = LaneScore(df, query, r, scale, scalar, FromSums(di, kept), plane);
    StoreUpTo(df, score, scores + r * stride + t, n - t);
  };
  store(0, kept0);
  if constexpr (kRows > 1) store(1, kept1);
  if constexpr (kRows > 2) store(2, kept2);
  if constexpr (kRows > 3) store(3, kept3);
}

// Steps (run_memory-inl.h) that LaneDots() takes: one a vector of tokens, or one for each of its
// quads where many channels mean much memory.
inline size_t LaneSteps(const LaneLayout& layout, size_t n) {
  return CeilDiv(n, hn::Lanes(FloatTag())) * (layout.few_blocks() ? 1 : layout.quads);
}

// Scores of n tokens of a chunk that has its sums of signs.
template <size_t kBytes, bool kFewBlocks>
HWY_INLINE void ScoreChunk(const std::byte* tiles, const LaneLayout& layout, size_t n,
                           const LaneQuery& query, size_t n_rows, LaneChunk& chunk, float* scores,
                           size_t stride, RunMemory& memory) {
  if (layout.rest > 0) {
    ByFourRows(n_rows, [&](auto rows, size_t r)
                           SPARK_INLINE_LAMBDA { SumLaneRest<rows, kBytes>(chunk, n, query, r); });
  }
  LinesAhead ahead = memory.Begin();
  for (size_t t = 0; t < n; t += hn::Lanes(FloatTag())) {
    const size_t i_tile = t / LaneLayout::kTokens, lane = t % LaneLayout::kTokens;
    if constexpr (kFewBlocks) ahead.Step();
    const std::byte* tile = tiles + i_tile * layout.tile_bytes();
    ByFourRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
      ScoreLanes<rows, kBytes, kFewBlocks>(tile, layout, chunk, i_tile, query, r, lane, n, scores,
                                           stride, ahead);
    });
  }
  memory.End(ahead);
}

// first: a multiple of 16; n <= kTokenTile.
inline void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query,
                     size_t n_rows, float* scores, size_t stride, RunMemory& memory) {
  const LaneLayout& layout = keys.lanes->layout();
  const size_t first_tile = first / LaneLayout::kTokens;
  const std::byte* tiles = keys.lanes->Tile(first_tile);
  LaneChunk chunk;
  PrepareLaneChunk(*keys.lanes, first_tile, n, chunk);
  for (size_t r = 0; r < n_rows; ++r) {
    SumLanePlane(chunk, n, layout.words, query.sums + r * query.sums_bytes, chunk.plane[r]);
  }
  const auto score = [&](auto bytes, auto few_blocks) HWY_ATTR {
    ScoreChunk<bytes, few_blocks>(tiles, layout, n, query, n_rows, chunk, scores, stride, memory);
  };
  const auto score_by = [&](auto bytes) HWY_ATTR {
    layout.few_blocks() ? score(bytes, std::true_type()) : score(bytes, std::false_type());
  };
  if (*query.wide > 0) {
    score_by(std::integral_constant<size_t, 2>());
  } else {
    score_by(std::integral_constant<size_t, 1>());
  }
}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
