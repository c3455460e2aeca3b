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
// Elements of q, and sums of four q·fill, are rounded to 15 bits of the largest one in the row, n =
// 128 high + low, and their two bytes lie in tables of their own. So a score is right to 2^-15 of
// the sum of its terms' sizes; everything else in the integer sums is exact.
struct LaneQuery {
  // [n_rows, 2, Dp] low bytes of q, then high bytes + kHighBias, in the order of places
  // (kv/lane_store.h); Dp = D rounded up to 64, 0 behind D.
  uint8_t* q;
  // [n_rows, 2, 2, 64 W] low bytes, then high bytes + kSumHighBias; of channels 0…3 of every eight,
  // then 4…7. Entry 64 w + 16 p + e: channels from 32 w + 8 p (+ 4) on, bit i of e: channel i
  // counts as +.
  uint8_t* sums;
  float* q_step;     // [n_rows] what 1 stands for in `q`
  float* sums_step;  // [n_rows] … and in `sums`
  float* centre;     // [n_rows] q · centre
  size_t q_bytes;    // of a row
  size_t sums_bytes;
};

#if HWY_TARGET == HWY_SCALAR

inline LaneQuery MakeLaneQuery(const RowsView&, const float*, size_t, bool, float*) { return {}; }

#else

inline constexpr float kMostOf15Bits = 16256;  // 127 · 128

// What dot products of unsigned with signed bytes (VNNI) make of codes and high bytes of q.
inline constexpr uint8_t kHighBias = kNativeUnsigned ? 128 : 0;
// The same of sums: bytes without signs are summed where there are none (lane_chunk-inl.h).
inline constexpr uint8_t kSumHighBias = kNativeUnsigned ? 0 : 128;

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
    StoreSplit(df, hn::Mul(at(j), inverse), kHighBias, low + j, high + j);
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
      StoreSplit(df, sum, kSumHighBias, low + e, low + 2 * half + e);
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
  HWY_ALIGN float ordered[LaneLayout::kMaxHeadDim];
  HWY_ALIGN float filled[LaneLayout::kMaxHeadDim] = {};
  const std::span<const uint8_t> order = keys.lanes->order();
  for (size_t r = 0; r < n_rows; ++r) {
    const float* row = q + r * dim;
    uint8_t* table = query.q + r * query.q_bytes;
    for (size_t p = 0; p < dim; ++p) ordered[p] = row[order[p]];
    query.q_step[r] = MakeQueryTable(ordered, dim, table, table + query.q_bytes / 2);
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

// One row's scores of Lanes(df) tokens from Σ_kept c q and their integer sums of the plane.
template <class DF, class VI>
HWY_INLINE hn::Vec<DF> LaneScore(DF df, const LaneQuery& query, size_t r, hn::Vec<DF> scale,
                                 hn::Vec<DF> scalar, hn::Vec<DF> kept, VI plane) {
  const auto s = hn::Mul(scalar, hn::Set(df, query.sums_step[r]));
  return hn::MulAdd(kept, scale,
                    hn::MulAdd(hn::ConvertTo(df, plane), s, hn::Set(df, query.centre[r])));
}

// 128 high + low.
template <class V>
HWY_INLINE V JoinSums(V low, V high) {
  return hn::Add(hn::ShiftLeft<7>(high), low);
}

// One row's Σ_kept c q of Lanes(df) tokens from integer sums of both bytes of q.
template <class DF, class VI>
HWY_INLINE hn::Vec<DF> KeptSum(DF df, const LaneQuery& query, size_t r, VI low, VI high) {
  return hn::Mul(hn::ConvertTo(df, JoinSums(low, high)), hn::Set(df, query.q_step[r]));
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_QUERY_INL_H_
