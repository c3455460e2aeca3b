// Scores of sparse keys whose kept values are 8- or 4-bit codes, by integer products: AVX-512 with
// byte expansion (VBMI2) and 16-bit dot products (VNNI). Other targets and stores expand keys to
// floats (expand_rows-inl.h).
#if defined(SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_
#undef SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_
#else
#define SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/tiles.h"
#include "base/dtype.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Query rows for SparseDots(), spark.md §3 with k = kept codes c times the row's scale a, elsewhere
// ±s fill:
//   q·k = a Σ_kept c q  +  s Σ_pruned ±(q fill)  +  q·centre
// q and q·fill are rounded to 16 bits of their largest element in the row, so a score is right to
// 2^-16 of the sum of its terms' sizes; everything else in the sums is exact.
struct SparseQuery {
  int16_t* q;          // [n_rows, D]
  int16_t* filled;     // [n_rows, D] q · fill
  float* q_step;       // [n_rows] what 1 in `q` stands for
  float* filled_step;  // [n_rows]
  float* centre;       // [n_rows] q · centre
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

inline bool HasSparseDots(const RowsView& keys) {
  const bool codes = keys.type == DType::kQ8_0 || keys.type == DType::kQ4_0;
  // One scale a token: `width` is the number of kept channels where all tokens have as many.
  return keys.masks != nullptr && codes && keys.sampled == nullptr && keys.head_dim % 64 == 0 &&
         keys.offsets == nullptr && keys.width <= kScaleGroup &&
         (keys.type == DType::kQ8_0 || keys.head_dim == 64) &&
         (keys.scalars == nullptr || keys.signs != nullptr);
}

// round(x / step), step = max|x| / 32767; returns step.
inline float RoundTo16(const float* x, size_t n, int16_t* out) {
  const FloatTag df;
  const hn::Rebind<int16_t, FloatTag> d16;
  FloatVec most = hn::Zero(df);
  for (size_t j = 0; j < n; j += hn::Lanes(df)) {
    most = hn::Max(most, hn::Abs(hn::LoadU(df, x + j)));
  }
  const float largest = hn::ReduceMax(df, most);
  const FloatVec inverse = hn::Set(df, largest > 0 ? 32767.0f / largest : 0.0f);
  for (size_t j = 0; j < n; j += hn::Lanes(df)) {
    const auto v = hn::NearestInt(hn::Mul(hn::LoadU(df, x + j), inverse));
    hn::StoreU(hn::DemoteTo(d16, v), d16, out + j);
  }
  return largest / 32767.0f;
}

inline SparseQuery MakeSparseQuery(const RowsView& keys, const float* q, size_t n_rows,
                                   float* memory) {
  const size_t dim = keys.head_dim;
  SparseQuery query;
  query.q = reinterpret_cast<int16_t*>(memory);
  query.filled = query.q + kFewQueryRows * dim;
  query.q_step = memory + kFewQueryRows * dim;
  query.filled_step = query.q_step + kFewQueryRows;
  query.centre = query.filled_step + kFewQueryRows;
  float* filled = query.centre + kFewQueryRows;  // [D]
  std::fill_n(filled, dim, 0.0f);
  for (size_t r = 0; r < n_rows; ++r) {
    const float* row = q + r * dim;
    query.q_step[r] = RoundTo16(row, dim, query.q + r * dim);
    if (keys.scalars != nullptr) {
      for (size_t j = 0; j < dim; ++j) filled[j] = row[j] * keys.fill[j];
    }
    query.filled_step[r] = RoundTo16(filled, dim, query.filled + r * dim);
    query.centre[r] = 0;
    if (keys.centre == nullptr) continue;
    for (size_t j = 0; j < dim; ++j) query.centre[r] += row[j] * keys.centre[j];
  }
  return query;
}

using Code8 = hn::FixedTag<int8_t, 64>;
using Code16 = hn::FixedTag<int16_t, 32>;
using Sum32 = hn::FixedTag<int32_t, 16>;

// A token's codes, in order, as bytes. Reads 64 (32 of q4_0) bytes.
template <DType kType>
HWY_INLINE hn::Vec<Code8> CodesAt(const std::byte* codes) {
  const Code8 d;
  if constexpr (kType == DType::kQ8_0) {
    return hn::LoadU(d, reinterpret_cast<const int8_t*>(codes));
  } else {
    const hn::FixedTag<uint8_t, 32> dn;
    const hn::FixedTag<uint16_t, 32> dw;
    const auto pairs = hn::PromoteTo(dw, hn::LoadU(dn, reinterpret_cast<const uint8_t*>(codes)));
    const auto both =
        hn::And(hn::Or(pairs, hn::ShiftLeft<4>(pairs)), hn::Set(dw, uint16_t{0x0f0f}));
    return hn::Sub(hn::BitCast(d, both), hn::Set(d, int8_t{8}));
  }
}

// 64 channels of a token: kept codes or 0, and ±1 where pruned, else 0.
struct TokenLanes {
  hn::Vec<Code16> kept0, kept1, sign0, sign1;
};

// A token's packed row: its scale, and where the codes of the next channels are.
struct CodeRow {
  explicit CodeRow(const std::byte* row) : scale(HalfAt(row)), codes(row + sizeof(F16)) {}
  float scale;
  const std::byte* codes;
};

// The next 64 channels of a row.
template <DType kType, bool kSigned>
HWY_INLINE TokenLanes NextLanes(CodeRow& row, const uint8_t* mask, const uint8_t* sign) {
  const Code8 d8;
  const Code16 d16;
  TokenLanes lanes;
  const auto kept = hn::Expand(CodesAt<kType>(row.codes), hn::LoadMaskBits(d8, mask));
  lanes.kept0 = hn::PromoteTo(d16, hn::LowerHalf(kept));
  lanes.kept1 = hn::PromoteTo(d16, hn::UpperHalf(hn::Half<Code8>(), kept));
  if constexpr (kSigned) {
    const auto one = hn::Set(d16, int16_t{1});
    const auto minus = hn::Set(d16, int16_t{-1});
    const auto half = [&](size_t at) HWY_ATTR {
      const auto signs = hn::IfThenElse(hn::LoadMaskBits(d16, sign + at), one, minus);
      return hn::IfThenZeroElse(hn::LoadMaskBits(d16, mask + at), signs);
    };
    lanes.sign0 = half(0);
    lanes.sign1 = half(4);
  }
  if constexpr (kType == DType::kQ8_0) {  // q4_0 has no more than these, see HasSparseDots()
    uint64_t bits;
    std::memcpy(&bits, mask, sizeof(bits));
    row.codes += __builtin_popcountll(bits);
  }
  return lanes;
}

HWY_INLINE hn::Vec<Sum32> Dot64(hn::Vec<Code16> a0, hn::Vec<Code16> a1, const int16_t* b) {
  const Code16 d16;
  const Sum32 d32;
  auto unused = hn::Zero(d32);
  const auto sum = hn::WidenMulPairwiseAdd(d32, a0, hn::LoadU(d16, b));
  return hn::ReorderWidenMulAccumulate(d32, a1, hn::LoadU(d16, b + 32), sum, unused);
}

// Scores of n <= kTokenTile tokens from `first` on.
template <DType kType, bool kSigned>
HWY_NOINLINE void SparseDotsOf(const RowsView& keys, size_t first, size_t n,
                               const SparseQuery& query, size_t n_rows, float* scores,
                               size_t stride) {
  const FloatTag df;
  const size_t dim = keys.head_dim;
  const size_t mask_bytes = MaskBytes(dim);
  HWY_ALIGN float scalars[kTokenTile + 16] = {};
  HWY_ALIGN float shares[kFewQueryRows * kTokenTile];  // scalars for a row, in its q_step
  if constexpr (kSigned) {
    WithFloatType(keys.scalar_type, keys.scalars,
                  [&](const auto* s) HWY_ATTR { ExpandFloats(s + first, n, scalars); });
    for (size_t r = 0; r < n_rows; ++r) {
      const float ratio = query.q_step[r] > 0 ? query.filled_step[r] / query.q_step[r] : 0.0f;
      for (size_t t = 0; t < kTokenTile; ++t) shares[r * kTokenTile + t] = scalars[t] * ratio;
    }
  }
  const std::byte* rows = keys.values + first * keys.row_bytes;
  const uint8_t* masks = keys.masks + first * mask_bytes;
  const uint8_t* signs = kSigned ? keys.signs + first * mask_bytes : nullptr;
  for (size_t t = 0; t < n; t += 4) {
    // The last four may be fewer: they repeat the last token, and what comes out goes by a buffer.
    const size_t valid = HWY_MIN(size_t{4}, n - t);
    const size_t t1 = t + HWY_MIN(size_t{1}, valid - 1);
    const size_t t2 = t + HWY_MIN(size_t{2}, valid - 1);
    const size_t t3 = t + HWY_MIN(size_t{3}, valid - 1);
    CodeRow row0(rows + t * keys.row_bytes), row1(rows + t1 * keys.row_bytes);
    CodeRow row2(rows + t2 * keys.row_bytes), row3(rows + t3 * keys.row_bytes);
    for (size_t j = 0; j < dim; j += 64) {
      const auto next = [&](CodeRow& row, size_t token) HWY_ATTR {
        const size_t place = token * mask_bytes + j / 8;
        return NextLanes<kType, kSigned>(row, masks + place, signs + (kSigned ? place : 0));
      };
      const TokenLanes x0 = next(row0, t), x1 = next(row1, t1);
      const TokenLanes x2 = next(row2, t2), x3 = next(row3, t3);
      for (size_t r = 0; r < n_rows; ++r) {
        const int16_t* q = query.q + r * dim + j;
        const int16_t* filled = query.filled + r * dim + j;
        const float* share = shares + r * kTokenTile + t;
        const auto product = [&](const TokenLanes& x, float scale, size_t i) HWY_ATTR {
          const auto k = hn::ConvertTo(df, Dot64(x.kept0, x.kept1, q));
          const FloatVec f = hn::Mul(k, hn::Set(df, scale));
          if constexpr (!kSigned) return f;
          const auto s = hn::ConvertTo(df, Dot64(x.sign0, x.sign1, filled));
          return hn::MulAdd(s, hn::Set(df, share[i]), f);
        };
        float* out = scores + r * stride + t;
        float dots[4];
        Sum4(df, product(x0, row0.scale, 0), product(x1, row1.scale, 1), product(x2, row2.scale, 2),
             product(x3, row3.scale, 3), valid == 4 && j == 0 ? out : dots);
        if (valid == 4 && j == 0) continue;
        for (size_t i = 0; i < valid; ++i) out[i] = (j > 0 ? out[i] : 0.0f) + dots[i];
      }
    }
  }
  for (size_t r = 0; r < n_rows; ++r) {
    float* row = scores + r * stride;
    const FloatVec step = hn::Set(df, query.q_step[r]);
    const FloatVec centre = hn::Set(df, query.centre[r]);
    for (size_t t = 0; t < n; t += hn::Lanes(df)) {
      const FloatVec score = hn::MulAdd(hn::LoadN(df, row + t, n - t), step, centre);
      hn::StoreN(score, df, row + t, n - t);
    }
  }
}

inline void SparseDots(const RowsView& keys, size_t first, size_t n, const SparseQuery& query,
                       size_t n_rows, float* scores, size_t stride) {
  const bool plus = keys.scalars != nullptr;
  if (keys.type == DType::kQ8_0) {
    plus ? SparseDotsOf<DType::kQ8_0, true>(keys, first, n, query, n_rows, scores, stride)
         : SparseDotsOf<DType::kQ8_0, false>(keys, first, n, query, n_rows, scores, stride);
  } else {
    plus ? SparseDotsOf<DType::kQ4_0, true>(keys, first, n, query, n_rows, scores, stride)
         : SparseDotsOf<DType::kQ4_0, false>(keys, first, n, query, n_rows, scores, stride);
  }
}

#else

inline bool HasSparseDots(const RowsView&) { return false; }
inline SparseQuery MakeSparseQuery(const RowsView&, const float*, size_t, float*) { return {}; }
inline void SparseDots(const RowsView&, size_t, size_t, const SparseQuery&, size_t, float*,
                       size_t) {}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_
