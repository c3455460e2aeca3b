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

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/tiles.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Query rows for LaneDots():
//   q·k̂[t] = a[t] Σ_kept c q  +  s[t] Σ_j ±(q fill)  +  q·centre
// Elements of q, and sums of four q·fill, are rounded to 15 bits of the largest one in the row, n =
// 128 high + low, and their two bytes lie in tables of their own. So a score is right to 2^-15 of
// the sum of its terms' sizes; everything else in the integer sums is exact.
struct LaneQuery {
  // [n_rows, 2, Dp] low bytes of q, then high bytes + 128; Dp = D rounded up to 64, 0 behind D.
  uint8_t* q;
  // [n_rows, 2, 2, 64 W] low bytes, then high bytes; of channels 0…3 of every eight, then 4…7.
  // Entry 64 w + 16 p + e: channels from 32 w + 8 p (+ 4) on, bit i of e: channel i counts as +.
  uint8_t* sums;
  float* q_step;     // [n_rows] what 1 stands for in `q`
  float* sums_step;  // [n_rows] … and in `sums`
  float* centre;     // [n_rows] q · centre
  size_t q_bytes;    // of a row
  size_t sums_bytes;
};

#if HWY_TARGET == HWY_SCALAR

inline bool HasLaneDots(const RowsView&) { return false; }  // keys are expanded
inline LaneQuery MakeLaneQuery(const RowsView&, const float*, size_t, bool, float*) { return {}; }
inline void LaneDots(const RowsView&, size_t, size_t, const LaneQuery&, size_t, float*, size_t) {}

#else

inline bool HasLaneDots(const RowsView& keys) { return keys.lanes != nullptr; }

inline constexpr float kMostOf15Bits = 16256;  // 127 · 128

// Stores the two bytes of round(v / step) to low[0] and high[0] … of every lane.
template <class DF>
HWY_INLINE void StoreSplit(DF, hn::Vec<DF> v, uint8_t high_bias, uint8_t* low, uint8_t* high) {
  const hn::RebindToSigned<DF> di;
  const hn::Rebind<uint8_t, DF> d8;
  const hn::Rebind<int8_t, DF> d8s;
  const auto n = hn::NearestInt(v);
  hn::StoreU(hn::DemoteTo(d8, hn::And(n, hn::Set(di, 127))), d8, low);
  const auto top = hn::BitCast(d8, hn::DemoteTo(d8s, hn::ShiftRight<7>(n)));
  hn::StoreU(hn::Xor(top, hn::Set(d8, high_bias)), d8, high);
}

// [D] rounded to multiples of the returned step. low, high: [Dp]
inline float MakeQueryTable(const float* q, size_t dim, uint8_t* low, uint8_t* high) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const auto at = [&](size_t j) HWY_ATTR {
    if (j + lanes <= dim) return hn::LoadU(df, q + j);
    return j < dim ? hn::LoadN(df, q + j, dim - j) : hn::Zero(df);
  };
  FloatVec most = hn::Zero(df);
  for (size_t j = 0; j < dim; j += lanes) most = hn::Max(most, hn::Abs(at(j)));
  const float largest = hn::ReduceMax(df, most);
  const FloatVec inverse = hn::Set(df, largest > 0 ? kMostOf15Bits / largest : 0.0f);
  for (size_t j = 0; j < RoundUp(dim, 64); j += lanes) {
    StoreSplit(df, hn::Mul(at(j), inverse), 128, low + j, high + j);
  }
  return largest / kMostOf15Bits;
}

// The sums of every four of x[0 … 32 W), as LaneQuery has them. Returns their step.
inline float MakeSumTables(const float* x, size_t words, uint8_t* sums) {
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  const size_t lanes = hn::Lanes(df);
  float largest = 0;
  for (size_t j = 0; j < 32 * words; j += 4) {
    largest = std::max(
        largest, std::abs(x[j]) + std::abs(x[j + 1]) + std::abs(x[j + 2]) + std::abs(x[j + 3]));
  }
  const float inverse = largest > 0 ? kMostOf15Bits / largest : 0.0f;
  const size_t half = 64 * words;  // bytes of a table of low, or high, halves of eight channels
  for (size_t j = 0; j < 32 * words; j += 4) {
    uint8_t* low = sums + (j / 4 % 2) * half + j / 8 * 16;
    for (size_t e = 0; e < 16; e += lanes) {
      const auto pattern = hn::Iota(di, static_cast<int32_t>(e));
      FloatVec sum = hn::Zero(df);
      for (size_t i = 0; i < 4; ++i) {
        const auto is_set = hn::TestBit(pattern, hn::Set(di, int32_t{1} << i));
        const FloatVec term = hn::Set(df, x[j + i] * inverse);
        sum = hn::Add(sum, hn::IfThenElse(hn::RebindMask(df, is_set), term, hn::Neg(term)));
      }
      StoreSplit(df, sum, 0, low + e, low + 2 * half + e);
    }
  }
  return largest / kMostOf15Bits;
}

// memory: [FewQueryFloats(D)], 64-byte aligned. `prepared`: it holds all of this already.
inline LaneQuery MakeLaneQuery(const RowsView& keys, const float* q, size_t n_rows, bool prepared,
                               float* memory) {
  const size_t dim = keys.head_dim;
  const size_t words = keys.lanes->layout().words;
  LaneQuery query;
  query.q_bytes = 2 * RoundUp(dim, 64);
  query.sums_bytes = 256 * words;
  query.q = reinterpret_cast<uint8_t*>(memory);
  query.sums = query.q + n_rows * query.q_bytes;
  query.q_step = reinterpret_cast<float*>(query.sums + n_rows * query.sums_bytes);
  query.sums_step = query.q_step + n_rows;
  query.centre = query.sums_step + n_rows;
  if (prepared) return query;
  HWY_ALIGN float filled[LaneLayout::kMaxHeadDim] = {};
  for (size_t r = 0; r < n_rows; ++r) {
    const float* row = q + r * dim;
    uint8_t* table = query.q + r * query.q_bytes;
    query.q_step[r] = MakeQueryTable(row, dim, table, table + query.q_bytes / 2);
    for (size_t j = 0; j < dim; ++j) filled[j] = row[j] * keys.lanes->fill()[j];
    query.sums_step[r] = MakeSumTables(filled, words, query.sums + r * query.sums_bytes);
    query.centre[r] = 0;
    if (keys.lanes->centre() == nullptr) continue;
    for (size_t j = 0; j < dim; ++j) query.centre[r] += row[j] * keys.lanes->centre()[j];
  }
  return query;
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
    size_t r = 0;
    const auto rows = [&]<size_t kRows>() HWY_ATTR {
      LaneTileScores<kRows, kTables>(tile, layout, query, r, n - t, scores + t, stride);
      r += kRows;
    };
    // Three rows' sums and the tables they look up in fit the registers.
    while (n_rows - r >= 3 && n_rows - r != 4) rows.template operator()<3>();
    while (n_rows - r >= 2) rows.template operator()<2>();
    if (n_rows > r) rows.template operator()<1>();
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
      hn::StoreN(LanesScore(tile, layout, query, r, lane), df, out + t, n - t);
    }
  }
}

#endif
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_DOTS_INL_H_
