// Scores of keys that lie in lanes (kv/lane_store.h): a lane of every vector is a token, so nothing
// is expanded and no sum goes across lanes. What depends on the query lies in tables of bytes, and
// what depends on the key looks up in them: the number of a kept channel finds its element of q,
// four bits of signs find the sum of four terms ±q·fill. Looked-up bytes meet codes, or ones, in
// dot products of four bytes a lane.
#if defined(SPARK_BACKEND_CPU_LANE_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
#undef SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lane_query-inl.h"
#include "backend/cpu/lane_shuffles-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

inline bool HasLaneDots(const RowsView&) { return false; }  // keys are expanded
inline size_t LaneSteps(const LaneLayout&, size_t) { return 1; }
inline void LaneDots(const RowsView&, size_t, size_t, const LaneQuery&, size_t, float*, size_t,
                     RunMemory&) {}

#else

inline bool HasLaneDots(const RowsView& keys) { return keys.lanes != nullptr; }

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

// A tile of 16 tokens is a vector wide, and a table of 64 bytes is one register that any byte of
// another looks up in (VBMI).
using Lane8 = hn::FixedTag<uint8_t, 64>;
using LaneCode = hn::FixedTag<int8_t, 64>;
using LaneSum = hn::FixedTag<int32_t, 16>;
using LaneFloat = hn::FixedTag<float, 16>;
using LaneBytes = hn::Vec<Lane8>;
using LaneSums = IntSums<LaneSum>;

// Elements `i` of a table of kTables · 64 bytes.
template <size_t kTables>
HWY_INLINE LaneBytes LookUp(const uint8_t* table, LaneBytes i) {
  const Lane8 d;
  if constexpr (kTables == 1) {
    return hn::TableLookupLanes(hn::LoadU(d, table), hn::IndicesFromVec(d, i));
  } else if constexpr (kTables == 2) {
    return hn::TwoTablesLookupLanes(d, hn::LoadU(d, table), hn::LoadU(d, table + 64),
                                    hn::IndicesFromVec(d, i));
  } else {
    const auto in_half = hn::And(i, hn::Set(d, uint8_t{127}));
    return hn::IfThenElse(hn::MaskFromVec(i), LookUp<2>(table + 128, in_half),
                          LookUp<2>(table, in_half));
  }
}

// A multiple of 64 from which on 128 places hold all of these of up to 256, or kNoWindow. Kept
// channels are in order, so most quads lie close together.
constexpr size_t kNoWindow = 1;
HWY_INLINE size_t WindowOf(LaneBytes channels) {
  const Lane8 d;
  const auto upper = hn::MaskFromVec(channels);  // 128 and more
  if (hn::AllFalse(d, upper)) return 0;
  if (hn::AllTrue(d, upper)) return 128;
  const auto middle = hn::MaskFromVec(hn::Add(channels, hn::Set(d, uint8_t{64})));  // 64 to 191
  return hn::AllTrue(d, middle) ? 64 : kNoWindow;
}

// One query row's sums of a tile. Elements of the query have kBytes bytes.
template <size_t kBytes>
struct LaneRow {
  LaneSums kept, kept_high, plane;

  HWY_INLINE LaneRow() {
    const LaneSum d;
    kept = kept_high = plane = ToSums(d, hn::Zero(d));
  }

  // Four kept channels of each token, of 64 * kTables. table: the row's in LaneQuery::q, whose high
  // bytes are `high` behind the low ones.
  template <size_t kTables>
  HWY_INLINE void AddQuad(const uint8_t* table, size_t high, LaneBytes channels,
                          hn::Vec<LaneCode> c) {
    AddQuadDot<Bytes::kWide>(LaneSum(), LookUp<kTables>(table, channels), c, kept);
    if constexpr (kBytes == 2) {
      AddQuadDot<Bytes::kWide>(LaneSum(), LookUp<kTables>(table + high, channels), c, kept_high);
    }
  }

  // Four signs of each of the four bytes of a word: `i` is where their sum is among 64.
  HWY_INLINE void AddSigns(const uint8_t* table, LaneBytes i) {
    AddQuadDot<Bytes::kWide>(LaneSum(), hn::Set(Lane8(), uint8_t{1}),
                             hn::BitCast(LaneCode(), LookUp<1>(table, i)), plane);
  }

  // Σ_kept c q, given Σ c.
  HWY_INLINE hn::Vec<LaneSum> Kept(hn::Vec<LaneSum> codes) const {
    const LaneSum d;
    const auto biased = hn::ShiftLeft<7>(codes);  // kQueryBias
    if constexpr (kBytes == 1) return hn::Sub(FromSums(d, kept), biased);
    return JoinSums(FromSums(d, kept), hn::Sub(FromSums(d, kept_high), biased));
  }
};

// Bytes of a part of a tile, which may begin anywhere.
HWY_INLINE LaneBytes LaneBytesAt(const std::byte* p) {
  return hn::LoadU(Lane8(), reinterpret_cast<const uint8_t*>(p));
}

// One or two bytes of every token, each in a lane of four.
HWY_INLINE LaneBytes LaneRestAt(const std::byte* p, size_t rest) {
  const hn::FixedTag<uint32_t, 16> d32;
  const Lane8 d;
  if (rest == 1) {
    const hn::FixedTag<uint8_t, 16> d8;
    return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(p))));
  }
  const hn::FixedTag<uint16_t, 16> d16;
  return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p))));
}

// What a tile's scores are made of, for up to four query rows. Rows have names and are no array:
// g++ would keep that in memory.
template <size_t kRows, size_t kBytes>
struct LaneTile {
  const LaneQuery& query;
  size_t first_row;
  LaneRow<kBytes> row0, row1, row2, row3;
  LaneSums codes;  // Σ c

  HWY_INLINE LaneTile(const LaneQuery& query_in, size_t first_row_in)
      : query(query_in), first_row(first_row_in) {
    const LaneSum d;
    codes = ToSums(d, hn::Zero(d));
  }

  // Channels of a window of 64 * kTables that begins at channel `from`, numbered from there.
  template <size_t kTables>
  HWY_INLINE void AddWindow(size_t from, LaneBytes channels, hn::Vec<LaneCode> c) {
    const uint8_t* table = query.q + first_row * query.q_bytes + from;
    const size_t high = query.q_bytes / 2;
    row0.template AddQuad<kTables>(table, high, channels, c);
    if constexpr (kRows > 1) {
      row1.template AddQuad<kTables>(table + query.q_bytes, high, channels, c);
    }
    if constexpr (kRows > 2) {
      row2.template AddQuad<kTables>(table + 2 * query.q_bytes, high, channels, c);
    }
    if constexpr (kRows > 3) {
      row3.template AddQuad<kTables>(table + 3 * query.q_bytes, high, channels, c);
    }
  }
  template <size_t kTables>
  HWY_INLINE void AddQuad(LaneBytes channels, hn::Vec<LaneCode> c) {
    const Lane8 d;
    AddQuadDot<Bytes::kWide>(LaneSum(), hn::Set(d, uint8_t{1}), c, codes);
    if constexpr (kTables == 4) {
      const size_t from = WindowOf(channels);
      if (from != kNoWindow) {
        const auto first = hn::Set(d, static_cast<uint8_t>(from));
        return AddWindow<2>(from, hn::Sub(channels, first), c);
      }
    }
    AddWindow<kTables>(0, channels, c);
  }
  HWY_INLINE void AddSigns(size_t at, LaneBytes i) {
    const uint8_t* table = query.sums + first_row * query.sums_bytes + at;
    row0.AddSigns(table, i);
    if constexpr (kRows > 1) row1.AddSigns(table + query.sums_bytes, i);
    if constexpr (kRows > 2) row2.AddSigns(table + 2 * query.sums_bytes, i);
    if constexpr (kRows > 3) row3.AddSigns(table + 3 * query.sums_bytes, i);
  }
  // tile: for its scales.
  HWY_INLINE void Store(const std::byte* tile, size_t n, float* scores, size_t stride) const {
    const LaneFloat df;
    const LaneSum d;
    const auto scale = LaneHalves(df, tile + LaneLayout::kScales);
    const auto scalar = LaneHalves(df, tile + LaneLayout::kScalars);
    const auto store = [&](const LaneRow<kBytes>& row, size_t r) SPARK_INLINE_LAMBDA {
      const auto kept = row.Kept(FromSums(d, codes));
      const auto score =
          LaneScore(df, query, first_row + r, scale, scalar, kept, FromSums(d, row.plane));
      StoreUpTo(df, score, scores + (first_row + r) * stride, n);
    };
    store(row0, 0);
    if constexpr (kRows > 1) store(row1, 1);
    if constexpr (kRows > 2) store(row2, 2);
    if constexpr (kRows > 3) store(row3, 3);
  }
};

template <size_t kRows, size_t kTables, size_t kBytes>
HWY_INLINE void LaneTileScores(const std::byte* tile, const LaneLayout& layout,
                               const LaneQuery& query, size_t first_row, size_t n, float* scores,
                               size_t stride) {
  const Lane8 d;
  const LaneCode dc;
  const hn::Repartition<uint16_t, Lane8> d16;
  LaneTile<kRows, kBytes> sums(query, first_row);
  const std::byte* quad = tile + layout.first_quad();
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    sums.template AddQuad<kTables>(LaneBytesAt(quad), hn::BitCast(dc, LaneBytesAt(quad + 64)));
  }
  if (layout.rest > 0) {
    const auto codes = LaneRestAt(quad + LaneLayout::kTokens * layout.rest, layout.rest);
    sums.template AddQuad<kTables>(LaneRestAt(quad, layout.rest), hn::BitCast(dc, codes));
  }
  const auto places = hn::BitCast(d, hn::Set(hn::Repartition<uint32_t, Lane8>(), 0x30201000u));
  const auto nibble = hn::Set(d, uint8_t{15});
  const size_t upper_sums = 64 * layout.words;
  size_t w = 0;
  do {  // at least one
    const auto bits = LaneBytesAt(tile + LaneLayout::kSigns + 64 * w);
    const auto upper = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, bits)));
    sums.AddSigns(64 * w, hn::OrAnd(places, bits, nibble));
    sums.AddSigns(upper_sums + 64 * w, hn::OrAnd(places, upper, nibble));
  } while (++w < layout.words);
  sums.Store(tile, n, scores, stride);
}

// Steps (run_memory-inl.h) that LaneDots() takes: one a tile.
inline size_t LaneSteps(const LaneLayout&, size_t n) { return CeilDiv(n, LaneLayout::kTokens); }

template <size_t kTables, size_t kBytes>
void LaneDotsOf(const LaneStore& keys, size_t first, size_t n, const LaneQuery& query,
                size_t n_rows, float* scores, size_t stride, RunMemory& memory) {
  const LaneLayout& layout = keys.layout();
  const std::byte* tile = keys.Tile(first / LaneLayout::kTokens);
  LinesAhead ahead = memory.Begin();
  for (size_t t = 0; t < n; t += LaneLayout::kTokens, tile += layout.tile_bytes()) {
    ahead.Step();
    ByFourRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
      LaneTileScores<rows, kTables, kBytes>(tile, layout, query, r, n - t, scores + t, stride);
    });
  }
  memory.End(ahead);
}

// first: a multiple of 16.
inline void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query,
                     size_t n_rows, float* scores, size_t stride, RunMemory& memory) {
  const auto dots = [&](auto tables) HWY_ATTR {
    if (*query.wide > 0) {
      LaneDotsOf<tables, 2>(*keys.lanes, first, n, query, n_rows, scores, stride, memory);
    } else {
      LaneDotsOf<tables, 1>(*keys.lanes, first, n, query, n_rows, scores, stride, memory);
    }
  };
  if (keys.head_dim <= 64) {
    dots(std::integral_constant<size_t, 1>());
  } else if (keys.head_dim <= 128) {
    dots(std::integral_constant<size_t, 2>());
  } else {
    dots(std::integral_constant<size_t, 4>());
  }
}

#endif
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
