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
#include "backend/cpu/weight_memory-inl.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

inline bool HasLaneDots(const RowsView&) { return false; }  // keys are expanded
inline void LaneDots(const RowsView&, size_t, size_t, const LaneQuery&, size_t, float*, size_t) {}

#else

inline bool HasLaneDots(const RowsView& keys) { return keys.lanes != nullptr; }

// Where memory is asked for in step with the work: a tile's worth of it.
HWY_INLINE void AskForTiles(const std::byte* tile, const LaneLayout& layout) {
  for (size_t i = 0; i < layout.tile_bytes(); i += 64) PrefetchAhead<64>(tile + i);
}

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
using LaneSums = hn::Vec<LaneSum>;

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

template <size_t kRows, size_t kTables>
struct LaneTile {
  LaneSums kept_low[kRows], kept_high[kRows], plane_low[kRows], plane_high[kRows];
  LaneSums codes;  // Σ c

  HWY_INLINE LaneTile() {
    const LaneSum d;
    codes = hn::Zero(d);
    Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
      kept_low[r] = kept_high[r] = plane_low[r] = plane_high[r] = codes;
    });
  }

  // Four kept channels of each token.
  HWY_INLINE void AddQuad(const LaneQuery& query, size_t first_row, LaneBytes channels,
                          hn::Vec<LaneCode> c) {
    const LaneSum d;
    codes = hn::SumOfMulQuadAccumulate(d, hn::Set(Lane8(), uint8_t{1}), c, codes);
    Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
      const uint8_t* low = query.q + (first_row + r) * query.q_bytes;
      const uint8_t* high = low + query.q_bytes / 2;
      kept_low[r] = hn::SumOfMulQuadAccumulate(d, LookUp<kTables>(low, channels), c, kept_low[r]);
      kept_high[r] =
          hn::SumOfMulQuadAccumulate(d, LookUp<kTables>(high, channels), c, kept_high[r]);
    });
  }

  // Four signs of each of the four bytes of a word: `i` is where their sum is among 64.
  HWY_INLINE void AddSigns(const LaneQuery& query, size_t first_row, size_t table, size_t half,
                           LaneBytes i) {
    const LaneSum d;
    const LaneCode dc;
    Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
      const uint8_t* low = query.sums + (first_row + r) * query.sums_bytes + table;
      plane_low[r] =
          hn::SumOfMulQuadAccumulate(d, LookUp<1>(low, i), hn::Set(dc, int8_t{1}), plane_low[r]);
      plane_high[r] =
          hn::SumOfMulQuadAccumulate(d, hn::Set(Lane8(), uint8_t{1}),
                                     hn::BitCast(dc, LookUp<1>(low + 2 * half, i)), plane_high[r]);
    });
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

template <size_t kRows, size_t kTables>
HWY_INLINE void LaneTileScores(const std::byte* tile, const LaneLayout& layout,
                               const LaneQuery& query, size_t first_row, size_t n, float* scores,
                               size_t stride) {
  const LaneFloat df;
  const Lane8 d;
  const LaneCode dc;
  const hn::Repartition<uint16_t, Lane8> d16;
  LaneTile<kRows, kTables> sums;
  const std::byte* quad = tile + layout.first_quad();
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    sums.AddQuad(query, first_row, LaneBytesAt(quad), hn::BitCast(dc, LaneBytesAt(quad + 64)));
  }
  if (layout.rest > 0) {
    const auto codes = LaneRestAt(quad + LaneLayout::kTokens * layout.rest, layout.rest);
    sums.AddQuad(query, first_row, LaneRestAt(quad, layout.rest), hn::BitCast(dc, codes));
  }
  const auto places = hn::BitCast(d, hn::Set(hn::Repartition<uint32_t, Lane8>(), 0x30201000u));
  const auto nibble = hn::Set(d, uint8_t{15});
  const size_t half = 64 * layout.words;
  for (size_t w = 0; w < layout.words; ++w) {
    const auto bits = LaneBytesAt(tile + LaneLayout::kSigns + 64 * w);
    const auto upper = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, bits)));
    sums.AddSigns(query, first_row, 64 * w, half, hn::OrAnd(places, bits, nibble));
    sums.AddSigns(query, first_row, half + 64 * w, half, hn::OrAnd(places, upper, nibble));
  }
  const auto scale = LaneHalves(df, tile + LaneLayout::kScales);
  const auto scalar = LaneHalves(df, tile + LaneLayout::kScalars);
  const auto biased = hn::ShiftLeft<7>(sums.codes);  // of high bytes + 128
  Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
    const auto score =
        LaneScore(df, query, first_row + r, scale, scalar, sums.kept_low[r],
                  hn::Sub(sums.kept_high[r], biased), sums.plane_low[r], sums.plane_high[r]);
    float* out = scores + (first_row + r) * stride;
    if (n >= LaneLayout::kTokens) {
      hn::StoreU(score, df, out);
    } else {
      hn::StoreN(score, df, out, n);
    }
  });
}

template <size_t kTables>
void LaneDotsOf(const LaneStore& keys, size_t first, size_t n, const LaneQuery& query,
                size_t n_rows, float* scores, size_t stride) {
  const LaneLayout& layout = keys.layout();
  const std::byte* tile = keys.Tile(first / LaneLayout::kTokens);
  for (size_t t = 0; t < n; t += LaneLayout::kTokens, tile += layout.tile_bytes()) {
    AskForTiles(tile, layout);
    ByThreeRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
      LaneTileScores<rows, kTables>(tile, layout, query, r, n - t, scores + t, stride);
    });
  }
}

inline void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query,
                     size_t n_rows, float* scores, size_t stride) {
  const LaneStore& store = *keys.lanes;
  if (keys.head_dim <= 64) return LaneDotsOf<1>(store, first, n, query, n_rows, scores, stride);
  if (keys.head_dim <= 128) return LaneDotsOf<2>(store, first, n, query, n_rows, scores, stride);
  LaneDotsOf<4>(store, first, n, query, n_rows, scores, stride);
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

inline void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query,
                     size_t n_rows, float* scores, size_t stride) {
  const FloatTag df;
  const LaneLayout& layout = keys.lanes->layout();
  for (size_t r = 0; r < n_rows; ++r) {
    float* out = scores + r * stride;
    for (size_t t = 0; t < n; t += hn::Lanes(df)) {
      const std::byte* tile = keys.lanes->Tile((first + t) / LaneLayout::kTokens);
      const size_t lane = (first + t) % LaneLayout::kTokens;
      if (r == 0 && lane == 0) AskForTiles(tile, layout);
      hn::StoreN(LanesScore(tile, layout, query, r, lane), df, out + t, n - t);
    }
  }
}

#endif
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
