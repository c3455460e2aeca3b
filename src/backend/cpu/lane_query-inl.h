// What a query becomes before it meets keys that lie in lanes (lane_dots-inl.h): tables of bytes.
#if defined(SPARK_BACKEND_CPU_LANE_QUERY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_QUERY_INL_H_
#undef SPARK_BACKEND_CPU_LANE_QUERY_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_QUERY_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Query rows for LaneDots():
//   q·k̂[t] = a[t] Σ_kept c q  +  s[t] Σ_j ±(q fill)  +  q·centre
// Elements of q, and sums of four q·fill, are rounded to 8 bits of the largest one in the row, as
// keys in q8_0 are; everything else in the integer sums is exact. Where one element is so large
// that this costs the others too much (kMostRounded), elements have 15 bits, n = 128 high + low.
// How often that is, and what it costs, is measured in docs/decisions.md.
struct LaneQuery {
  // [n_rows, Dp] elements + kQueryBias, in the order of places (kv/lane_store.h); Dp = D rounded up
  // to 64. If they are wide [n_rows, 2, Dp]: low bytes, then high bytes + kQueryBias.
  uint8_t* q;
  // [n_rows, 2, 64 W] sums + kSumBias of channels 0…3 of every eight, then of 4…7. Entry 64 w +
  // 16 p + e: channels from 32 w + 8 p (+ 4) on, bit i of e: channel i counts as +.
  uint8_t* sums;
  float* q_step;     // [n_rows] what 1 stands for in `q`
  float* sums_step;  // [n_rows] … and in `sums`
  float* centre;     // [n_rows] q · centre
  float* wide;       // [1] 1 if elements of all rows have 15 bits, else 0
  size_t q_bytes;    // of a row
  size_t sums_bytes;
};

#if HWY_TARGET == HWY_SCALAR

inline LaneQuery MakeLaneQuery(const RowsView&, const float*, size_t, bool, float*) { return {}; }

#else

inline constexpr float kMostOf8Bits = 127, kMostOf15Bits = 127 * 128;

// By how much rounding may be off in the mean square, as a share of an element's mean size. Beyond
// it elements have 15 bits: most of Gemma 3's queries, few of SmolLM2's (docs/decisions.md).
inline constexpr float kMostRounded = 1.0f / 40;

// What dot products of unsigned with signed bytes (VNNI) make of codes and elements of q, or their
// high bytes.
inline constexpr uint8_t kQueryBias = kNativeUnsigned ? 128 : 0;
// The same of sums: bytes without signs are summed where there are none (lane_chunk-inl.h).
inline constexpr uint8_t kSumBias = kNativeUnsigned ? 0 : 128;

// Stores whole numbers from -128 to 127, plus bias, modulo 256.
template <class DF, class VI>
HWY_INLINE void StoreBytes(DF, VI n, uint8_t bias, uint8_t* to) {
  const hn::Rebind<uint8_t, DF> d8;
  const hn::Rebind<int8_t, DF> d8s;
  const auto bytes = hn::BitCast(d8, hn::DemoteTo(d8s, n));
  hn::StoreU(hn::Xor(bytes, hn::Set(d8, bias)), d8, to);
}

// A row in the order of places, and 0 behind its D elements.
struct OrderedQuery {
  HWY_ALIGN float elements[LaneLayout::kMaxHeadDim];
  size_t padded;  // RoundUp(D, 64)
  float largest, sum_of_sizes;

  OrderedQuery(const float* row, std::span<const uint8_t> order)
      : padded(RoundUp(order.size(), 64)) {
    for (size_t p = 0; p < order.size(); ++p) elements[p] = row[order[p]];
    std::fill(elements + order.size(), elements + padded, 0.0f);
    const FloatTag df;
    FloatVec most = hn::Zero(df), sum = most;
    for (size_t j = 0; j < padded; j += hn::Lanes(df)) {
      const FloatVec size = hn::Abs(hn::Load(df, elements + j));
      most = hn::Max(most, size);
      sum = hn::Add(sum, size);
    }
    largest = hn::ReduceMax(df, most);
    sum_of_sizes = hn::ReduceSum(df, sum);
  }

  // Whether 8 bits are too few for `dim` elements. What is rounded is off by step / sqrt(12) in the
  // mean square. Sizes, not squares: one large element must not hide what the others lose.
  bool NeedsWide(size_t dim) const {
    const float off = largest / kMostOf8Bits / std::sqrt(12.0f);
    return off * static_cast<float>(dim) > kMostRounded * sum_of_sizes;
  }
};

// Elements become multiples of the returned step. table: a row's in LaneQuery::q
inline float MakeQueryTable(const OrderedQuery& q, bool wide, uint8_t* table) {
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  const float most = wide ? kMostOf15Bits : kMostOf8Bits;
  const FloatVec inverse = hn::Set(df, q.largest > 0 ? most / q.largest : 0.0f);
  for (size_t j = 0; j < q.padded; j += hn::Lanes(df)) {
    const auto n = hn::NearestInt(hn::Mul(hn::Load(df, q.elements + j), inverse));
    if (!wide) {
      StoreBytes(df, n, kQueryBias, table + j);
      continue;
    }
    StoreBytes(df, hn::And(n, hn::Set(di, 127)), 0, table + j);
    StoreBytes(df, hn::ShiftRight<7>(n), kQueryBias, table + q.padded + j);
  }
  return q.largest / most;
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
  const float inverse = largest > 0 ? kMostOf8Bits / largest : 0.0f;
  for (size_t j = 0; j < 32 * words; j += 4) {
    uint8_t* table = sums + (j / 4 % 2) * 64 * words + j / 8 * 16;
    for (size_t e = 0; e < 16; e += lanes) {
      const auto pattern = hn::Iota(di, static_cast<int32_t>(e));
      FloatVec sum = hn::Zero(df);
      for (size_t i = 0; i < 4; ++i) {
        const auto is_set = hn::TestBit(pattern, hn::Set(di, int32_t{1} << i));
        const FloatVec term = hn::Set(df, x[j + i] * inverse);
        sum = hn::Add(sum, hn::IfThenElse(hn::RebindMask(df, is_set), term, hn::Neg(term)));
      }
      StoreBytes(df, hn::NearestInt(sum), kSumBias, table + e);
    }
  }
  return largest / kMostOf8Bits;
}

// memory: [FewQueryFloats(D)], 64-byte aligned. `prepared`: it holds all of this already.
inline LaneQuery MakeLaneQuery(const RowsView& keys, const float* q, size_t n_rows, bool prepared,
                               float* memory) {
  const size_t dim = keys.head_dim;
  const size_t words = keys.lanes->layout().words;
  LaneQuery query;
  query.q = reinterpret_cast<uint8_t*>(memory);
  query.sums_bytes = 128 * words;
  query.sums = query.q + n_rows * 2 * RoundUp(dim, 64);
  query.q_step = reinterpret_cast<float*>(query.sums + n_rows * query.sums_bytes);
  query.sums_step = query.q_step + n_rows;
  query.centre = query.sums_step + n_rows;
  query.wide = query.centre + n_rows;
  const std::span<const uint8_t> order = keys.lanes->order();
  if (!prepared) {
    bool wide = false;
    for (size_t r = 0; r < n_rows; ++r) {
      wide = wide || OrderedQuery(q + r * dim, order).NeedsWide(dim);
    }
    *query.wide = wide ? 1.0f : 0.0f;
  }
  const bool wide = *query.wide > 0;
  query.q_bytes = (wide ? 2 : 1) * RoundUp(dim, 64);
  if (prepared) return query;
  HWY_ALIGN float filled[LaneLayout::kMaxHeadDim] = {};
  for (size_t r = 0; r < n_rows; ++r) {
    const float* row = q + r * dim;
    query.q_step[r] = MakeQueryTable(OrderedQuery(row, order), wide, query.q + r * query.q_bytes);
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

// 128 high + low.
template <class V>
HWY_INLINE V JoinSums(V low, V high) {
  return hn::Add(hn::ShiftLeft<7>(high), low);
}

// One row's scores of Lanes(df) tokens from their integer sums of kept channels and of the plane.
template <class DF, class VI>
HWY_INLINE hn::Vec<DF> LaneScore(DF df, const LaneQuery& query, size_t r, hn::Vec<DF> scale,
                                 hn::Vec<DF> scalar, VI kept, VI plane) {
  const auto a = hn::Mul(scale, hn::Set(df, query.q_step[r]));
  const auto s = hn::Mul(scalar, hn::Set(df, query.sums_step[r]));
  return hn::MulAdd(hn::ConvertTo(df, kept), a,
                    hn::MulAdd(hn::ConvertTo(df, plane), s, hn::Set(df, query.centre[r])));
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_QUERY_INL_H_
