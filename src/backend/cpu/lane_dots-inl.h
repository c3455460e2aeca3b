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
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

inline bool HasLaneDots(const RowsView&) { return false; }  // keys are expanded
template <class Memory>
void LaneDots(const RowsView&, size_t, size_t, const LaneQuery&, size_t, float*, size_t, Memory&) {}

#else

inline bool HasLaneDots(const RowsView& keys) { return keys.lanes != nullptr; }

// Stored f16 numbers of Lanes(df) tokens.
template <class DF>
HWY_INLINE hn::Vec<DF> LaneHalves(DF df, const std::byte* p) {
  return LoadFloats(df, reinterpret_cast<const hwy::float16_t*>(p));
}

// One row's scores of Lanes(df) tokens from their integer sums: 128 high + low, of kept channels
// and of the plane.
template <class DF, class VI>
HWY_INLINE hn::Vec<DF> LaneScore(DF df, const LaneQuery& query, size_t r, hn::Vec<DF> scale,
                                 hn::Vec<DF> scalar, VI kept_low, VI kept_high, VI plane_low,
                                 VI plane_high) {
  const auto kept = hn::ConvertTo(df, hn::Add(hn::ShiftLeft<7>(kept_high), kept_low));
  const auto plane = hn::ConvertTo(df, hn::Add(hn::ShiftLeft<7>(plane_high), plane_low));
  const auto a = hn::Mul(scale, hn::Set(df, query.q_step[r]));
  const auto s = hn::Mul(scalar, hn::Set(df, query.sums_step[r]));
  return hn::MulAdd(kept, a, hn::MulAdd(plane, s, hn::Set(df, query.centre[r])));
}

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

// sums += dot products of four bytes a lane.
HWY_INLINE void AddTo(LaneSums& sums, LaneBytes a, hn::Vec<LaneCode> b) {
  const LaneSum d;
  sums = ToSums(d, hn::SumOfMulQuadAccumulate(d, a, b, FromSums(d, sums)));
}

// One query row's sums of a tile.
template <size_t kTables>
struct LaneRow {
  LaneSums kept_low, kept_high, plane_low, plane_high;

  HWY_INLINE LaneRow() {
    const LaneSum d;
    kept_low = kept_high = plane_low = plane_high = ToSums(d, hn::Zero(d));
  }

  // Four kept channels of each token. table: the row's in LaneQuery::q
  HWY_INLINE void AddQuad(const uint8_t* table, size_t half, LaneBytes channels,
                          hn::Vec<LaneCode> c) {
    AddTo(kept_low, LookUp<kTables>(table, channels), c);
    AddTo(kept_high, LookUp<kTables>(table + half, channels), c);
  }

  // Four signs of each of the four bytes of a word: `i` is where their sum is among 64.
  HWY_INLINE void AddSigns(const uint8_t* table, size_t half, LaneBytes i) {
    const LaneCode dc;
    AddTo(plane_low, LookUp<1>(table, i), hn::Set(dc, int8_t{1}));
    AddTo(plane_high, hn::Set(Lane8(), uint8_t{1}), hn::BitCast(dc, LookUp<1>(table + half, i)));
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

// What a tile's scores are made of, for up to three query rows. Rows have names and are no array:
// g++ would keep that in memory.
template <size_t kRows, size_t kTables>
struct LaneTile {
  const LaneQuery& query;
  size_t first_row;
  LaneRow<kTables> row0, row1, row2;
  LaneSums codes;  // Σ c

  HWY_INLINE LaneTile(const LaneQuery& query_in, size_t first_row_in)
      : query(query_in), first_row(first_row_in) {
    const LaneSum d;
    codes = ToSums(d, hn::Zero(d));
  }

  HWY_INLINE void AddQuad(LaneBytes channels, hn::Vec<LaneCode> c) {
    AddTo(codes, hn::Set(Lane8(), uint8_t{1}), c);
    const uint8_t* table = query.q + first_row * query.q_bytes;
    const size_t half = query.q_bytes / 2;
    row0.AddQuad(table, half, channels, c);
    if constexpr (kRows > 1) row1.AddQuad(table + query.q_bytes, half, channels, c);
    if constexpr (kRows > 2) row2.AddQuad(table + 2 * query.q_bytes, half, channels, c);
  }
  HWY_INLINE void AddSigns(size_t at, LaneBytes i) {
    const uint8_t* table = query.sums + first_row * query.sums_bytes + at;
    const size_t half = query.sums_bytes / 2;
    row0.AddSigns(table, half, i);
    if constexpr (kRows > 1) row1.AddSigns(table + query.sums_bytes, half, i);
    if constexpr (kRows > 2) row2.AddSigns(table + 2 * query.sums_bytes, half, i);
  }
  // tile: for its scales.
  HWY_INLINE void Store(const std::byte* tile, size_t n, float* scores, size_t stride) const {
    const LaneFloat df;
    const LaneSum d;
    const auto scale = LaneHalves(df, tile + LaneLayout::kScales);
    const auto scalar = LaneHalves(df, tile + LaneLayout::kScalars);
    const auto biased = hn::ShiftLeft<7>(FromSums(d, codes));  // of high bytes + 128
    const auto store = [&](const LaneRow<kTables>& row, size_t r) SPARK_INLINE_LAMBDA {
      const auto kept_high = hn::Sub(FromSums(d, row.kept_high), biased);
      const auto score =
          LaneScore(df, query, first_row + r, scale, scalar, FromSums(d, row.kept_low), kept_high,
                    FromSums(d, row.plane_low), FromSums(d, row.plane_high));
      float* out = scores + (first_row + r) * stride;
      if (n >= LaneLayout::kTokens) {
        hn::StoreU(score, df, out);
      } else {
        hn::StoreN(score, df, out, n);
      }
    };
    store(row0, 0);
    if constexpr (kRows > 1) store(row1, 1);
    if constexpr (kRows > 2) store(row2, 2);
  }
};

template <size_t kRows, size_t kTables>
HWY_INLINE void LaneTileScores(const std::byte* tile, const LaneLayout& layout,
                               const LaneQuery& query, size_t first_row, size_t n, float* scores,
                               size_t stride) {
  const Lane8 d;
  const LaneCode dc;
  const hn::Repartition<uint16_t, Lane8> d16;
  LaneTile<kRows, kTables> sums(query, first_row);
  const std::byte* quad = tile + layout.first_quad();
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    sums.AddQuad(LaneBytesAt(quad), hn::BitCast(dc, LaneBytesAt(quad + 64)));
  }
  if (layout.rest > 0) {
    const auto codes = LaneRestAt(quad + LaneLayout::kTokens * layout.rest, layout.rest);
    sums.AddQuad(LaneRestAt(quad, layout.rest), hn::BitCast(dc, codes));
  }
  const auto places = hn::BitCast(d, hn::Set(hn::Repartition<uint32_t, Lane8>(), 0x30201000u));
  const auto nibble = hn::Set(d, uint8_t{15});
  const size_t half = 64 * layout.words;
  size_t w = 0;
  do {  // at least one
    const auto bits = LaneBytesAt(tile + LaneLayout::kSigns + 64 * w);
    const auto upper = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, bits)));
    sums.AddSigns(64 * w, hn::OrAnd(places, bits, nibble));
    sums.AddSigns(half + 64 * w, hn::OrAnd(places, upper, nibble));
  } while (++w < layout.words);
  sums.Store(tile, n, scores, stride);
}

template <size_t kTables, class Memory>
void LaneDotsOf(const LaneStore& keys, size_t first, size_t n, const LaneQuery& query,
                size_t n_rows, float* scores, size_t stride, Memory& memory) {
  const LaneLayout& layout = keys.layout();
  const std::byte* tile = keys.Tile(first / LaneLayout::kTokens);
  for (size_t t = 0; t < n; t += LaneLayout::kTokens, tile += layout.tile_bytes()) {
    memory.Step();
    ByThreeRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
      LaneTileScores<rows, kTables>(tile, layout, query, r, n - t, scores + t, stride);
    });
  }
}

// Calls memory.Step() for every tile.
template <class Memory>
void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query, size_t n_rows,
              float* scores, size_t stride, Memory& memory) {
  const auto dots = [&](auto tables) HWY_ATTR {
    LaneDotsOf<tables>(*keys.lanes, first, n, query, n_rows, scores, stride, memory);
  };
  if (keys.head_dim <= 64) {
    dots(std::integral_constant<size_t, 1>());
  } else if (keys.head_dim <= 128) {
    dots(std::integral_constant<size_t, 2>());
  } else {
    dots(std::integral_constant<size_t, 4>());
  }
}

#else

// Element i[b] of a table of `blocks` · 16 bytes for every byte b: of each 16 bytes what is among
// them, else 0.
template <class D, class V = hn::Vec<D> >
HWY_INLINE V LookUp(D d, const uint8_t* table, size_t blocks, V i) {
  V found = hn::Zero(d);
  for (size_t b = 0; b < blocks; ++b) {
    // i - 16 b is below 16 for those; the sum with 112 keeps their last four bits and has the top
    // one set for all others, also where the difference has wrapped around.
    const V place = hn::Sub(i, hn::Set(d, static_cast<uint8_t>(16 * b)));
    const V checked = hn::SaturatedAdd(place, hn::Set(d, uint8_t{112}));
    found = hn::Or(found, hn::TableLookupBytesOr0(hn::LoadDup128(d, table + 16 * b), checked));
  }
  return found;
}

// The sum for each byte's four signs, `nibbles`: byte p of a lane looks up in table p of four.
template <class D, class V = hn::Vec<D> >
HWY_INLINE V LookUpSigns(D d, const uint8_t* tables, V nibbles) {
  const hn::Repartition<uint32_t, D> d32;
  V found = hn::Zero(d);
  for (size_t p = 0; p < 4; ++p) {
    const auto others = hn::BitCast(d, hn::Set(d32, 0x80808080u & ~(0x80u << (8 * p))));
    const V own = hn::Or(nibbles, others);
    found = hn::Or(found, hn::TableLookupBytesOr0(hn::LoadDup128(d, tables + 16 * p), own));
  }
  return found;
}

// One or two bytes of every token, each in a lane of four.
template <class D>
HWY_INLINE hn::Vec<D> LaneRestAt(D d, const std::byte* p, size_t lane, size_t rest) {
  const hn::Repartition<uint32_t, D> d32;
  p += lane * rest;
  if (rest == 1) {
    const hn::Rebind<uint8_t, decltype(d32)> d8;
    return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(p))));
  }
  const hn::Rebind<uint16_t, decltype(d32)> d16;
  return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p))));
}

// One row's scores of the tokens in lanes [lane, lane + Lanes(df)) of a tile.
HWY_INLINE FloatVec LanesScore(const std::byte* tile, const LaneLayout& layout,
                               const LaneQuery& query, size_t r, size_t lane) {
  static_assert(!kNativeUnsigned, "high bytes of q, + 128, meet codes as signed ones");
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  const hn::Repartition<uint8_t, FloatTag> d;
  const hn::RebindToSigned<decltype(d)> dc;
  const hn::Repartition<uint16_t, FloatTag> d16;
  const auto bytes_at = [&](const std::byte* p)
                            HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint8_t*>(p)); };
  auto kept_low = hn::Zero(di), kept_high = kept_low, plane_low = kept_low, plane_high = kept_low;
  const uint8_t* low = query.q + r * query.q_bytes;
  const uint8_t* high = low + query.q_bytes / 2;
  const size_t blocks = query.q_bytes / 32;
  const auto add_quad = [&](hn::Vec<decltype(d)> channels, hn::Vec<decltype(d)> codes) HWY_ATTR {
    const auto c = hn::BitCast(dc, codes);
    kept_low = QuadDotLanes<Bytes::kSmall>(di, LookUp(d, low, blocks, channels), c, kept_low);
    kept_high = QuadDotLanes<Bytes::kWide>(di, LookUp(d, high, blocks, channels), c, kept_high);
  };
  const std::byte* quad = tile + layout.first_quad();
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    add_quad(bytes_at(quad + 4 * lane), bytes_at(quad + 64 + 4 * lane));
  }
  if (layout.rest > 0) {
    add_quad(LaneRestAt(d, quad, lane, layout.rest),
             LaneRestAt(d, quad + LaneLayout::kTokens * layout.rest, lane, layout.rest));
  }
  const auto nibble = hn::Set(d, uint8_t{15});
  const auto one = hn::Set(d, uint8_t{1});
  const size_t half = 64 * layout.words;
  const uint8_t* sums = query.sums + r * query.sums_bytes;
  for (size_t w = 0; w < layout.words; ++w, sums += 64) {
    const auto bits = bytes_at(tile + LaneLayout::kSigns + 64 * w + 4 * lane);
    const auto upper = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, bits)));
    const auto add_signs = [&](const uint8_t* table, hn::Vec<decltype(d)> i) HWY_ATTR {
      plane_low = QuadDotLanes<Bytes::kSmall>(di, LookUpSigns(d, table, i), hn::BitCast(dc, one),
                                              plane_low);
      plane_high = QuadDotLanes<Bytes::kSmall>(
          di, one, hn::BitCast(dc, LookUpSigns(d, table + 2 * half, i)), plane_high);
    };
    add_signs(sums, hn::And(bits, nibble));
    add_signs(sums + half, hn::And(upper, nibble));
  }
  return LaneScore(df, query, r, LaneHalves(df, tile + LaneLayout::kScales + 2 * lane),
                   LaneHalves(df, tile + LaneLayout::kScalars + 2 * lane), kept_low, kept_high,
                   plane_low, plane_high);
}

template <class Memory>
void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query, size_t n_rows,
              float* scores, size_t stride, Memory& memory) {
  const FloatTag df;
  const LaneLayout& layout = keys.lanes->layout();
  for (size_t r = 0; r < n_rows; ++r) {
    float* out = scores + r * stride;
    for (size_t t = 0; t < n; t += hn::Lanes(df)) {
      const std::byte* tile = keys.lanes->Tile((first + t) / LaneLayout::kTokens);
      const size_t lane = (first + t) % LaneLayout::kTokens;
      if (r == 0 && lane == 0) memory.Step();
      hn::StoreN(LanesScore(tile, layout, query, r, lane), df, out + t, n - t);
    }
  }
}

#endif
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
