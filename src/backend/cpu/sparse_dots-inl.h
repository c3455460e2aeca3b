// Scores of sparse keys straight from their packed form, on AVX-512 with the expansion of bytes and
// words (VBMI2) and 16-bit dot products (VNNI): kept codes of q8_0 and q4_0 and all signs meet the
// query in integers, kept f16 and bf16 values in floats. Other targets and stores expand keys to
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
#include <type_traits>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "base/dtype.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Query rows for SparseDots(), spark.md §3 with k = kept codes c times the row's scale a, elsewhere
// ±s fill:
//   q·k = a Σ_kept c q  +  s Σ_pruned ±(q fill)  +  q·centre
// What meets integers, q·fill and beside codes q, is rounded to 16 bits of the largest element in
// the row, so a score is right to 2^-16 of the sum of its terms' sizes; everything else in the
// integer sums is exact. Floats have the scale a = 1.
struct SparseQuery {
  const float* floats;  // [n_rows, D] q
  int16_t* q;           // [n_rows, D] for codes
  int16_t* filled;      // [n_rows, D] q · fill
  float* q_step;        // [n_rows] what 1 in `q` stands for; 1 beside floats
  float* filled_step;   // [n_rows]
  float* centre;        // [n_rows] q · centre
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

inline bool HasSparseDots(const RowsView& keys) {
  if (keys.masks == nullptr || keys.sampled != nullptr || keys.offsets != nullptr) return false;
  if (keys.head_dim % 64 != 0 || (keys.scalars != nullptr && keys.signs == nullptr)) return false;
  switch (keys.type) {
    case DType::kF16:
    case DType::kBF16:
      return true;
    case DType::kQ8_0:  // `width` channels with one scale
      return keys.width <= kScaleGroup;
    case DType::kQ4_0:  // the next 64 channels' codes may begin in the middle of a byte
      return keys.width <= kScaleGroup && keys.head_dim == 64;
    default:
      return false;
  }
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

// memory: [FewQueryFloats(D)]. `prepared`: it holds all of this already.
inline SparseQuery MakeSparseQuery(const RowsView& keys, const float* q, size_t n_rows,
                                   bool prepared, float* memory) {
  const size_t dim = keys.head_dim;
  SparseQuery query;
  query.floats = q;
  query.q = reinterpret_cast<int16_t*>(memory);
  query.filled = query.q + kFewQueryRows * dim;
  query.q_step = memory + kFewQueryRows * dim;
  query.filled_step = query.q_step + kFewQueryRows;
  query.centre = query.filled_step + kFewQueryRows;
  if (prepared) return query;
  float* filled = query.centre + kFewQueryRows;  // [D]
  std::fill_n(filled, dim, 0.0f);
  for (size_t r = 0; r < n_rows; ++r) {
    const float* row = q + r * dim;
    query.q_step[r] = IsQuantized(keys.type) ? RoundTo16(row, dim, query.q + r * dim) : 1.0f;
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

template <DType kType>
inline constexpr bool kIsCode = kType == DType::kQ8_0 || kType == DType::kQ4_0;

// A token's packed row: the scale of codes, and where the values of the next channels are.
template <DType kType>
struct KeptRow {
  explicit KeptRow(const std::byte* row) : values(row) {
    if constexpr (kIsCode<kType>) {
      scale = HalfAt(row);
      values += sizeof(F16);
    }
  }
  float scale = 1;
  const std::byte* values;
};

// Kept channels of 64, as codes or as floats, the others 0.
struct CodeLanes {
  hn::Vec<Code16> v0, v1;
};
struct RealLanes {
  FloatVec v0, v1, v2, v3;
};

template <DType kType>
HWY_INLINE CodeLanes NextKept(KeptRow<kType>& row, const uint8_t* mask) requires(kIsCode<kType>) {
  const Code16 d16;
  const auto kept = hn::Expand(CodesAt<kType>(row.values), hn::LoadMaskBits(Code8(), mask));
  if constexpr (kType == DType::kQ8_0) {
    uint64_t bits;
    std::memcpy(&bits, mask, sizeof(bits));
    row.values += __builtin_popcountll(bits);
  }
  return {hn::PromoteTo(d16, hn::LowerHalf(kept)),
          hn::PromoteTo(d16, hn::UpperHalf(hn::Half<Code8>(), kept))};
}

template <DType kType>
HWY_INLINE RealLanes NextKept(KeptRow<kType>& row, const uint8_t* mask) requires(!kIsCode<kType>) {
  using Half = std::conditional_t<kType == DType::kF16, hwy::float16_t, hwy::bfloat16_t>;
  const hn::FixedTag<uint16_t, 32> d;
  const hn::Rebind<Half, FloatTag> dh;
  const hn::Half<decltype(d)> d_half;
  const FloatTag df;
  RealLanes lanes;
  const auto next = [&](size_t at, FloatVec& low, FloatVec& high) HWY_ATTR {
    const auto all = hn::LoadU(d, reinterpret_cast<const uint16_t*>(row.values));
    const auto kept = hn::Expand(all, hn::LoadMaskBits(d, mask + at));
    low = hn::PromoteTo(df, hn::BitCast(dh, hn::LowerHalf(kept)));
    high = hn::PromoteTo(df, hn::BitCast(dh, hn::UpperHalf(d_half, kept)));
    uint32_t bits;
    std::memcpy(&bits, mask + at, sizeof(bits));
    row.values += 2 * __builtin_popcount(bits);
  };
  next(0, lanes.v0, lanes.v1);
  next(4, lanes.v2, lanes.v3);
  return lanes;
}

// ±1 for pruned channels of 64, the others 0.
template <bool kSigned>
HWY_INLINE CodeLanes SignsOf([[maybe_unused]] const uint8_t* mask,
                             [[maybe_unused]] const uint8_t* sign) {
  const Code16 d16;
  if constexpr (!kSigned) {
    return {hn::Zero(d16), hn::Zero(d16)};
  } else {
    const auto one = hn::Set(d16, int16_t{1});
    const auto minus = hn::Set(d16, int16_t{-1});
    const auto half = [&](size_t at) HWY_ATTR {
      const auto signs = hn::IfThenElse(hn::LoadMaskBits(d16, sign + at), one, minus);
      return hn::IfThenZeroElse(hn::LoadMaskBits(d16, mask + at), signs);
    };
    return {half(0), half(4)};
  }
}

// Sums in 16 lanes.
HWY_INLINE FloatVec Dot64(const CodeLanes& a, const int16_t* b) {
  const Code16 d16;
  const Sum32 d32;
  auto unused = hn::Zero(d32);
  const auto sum = hn::WidenMulPairwiseAdd(d32, a.v0, hn::LoadU(d16, b));
  return hn::ConvertTo(
      FloatTag(), hn::ReorderWidenMulAccumulate(d32, a.v1, hn::LoadU(d16, b + 32), sum, unused));
}

HWY_INLINE FloatVec KeptDot(const CodeLanes& kept, float scale, const SparseQuery& query,
                            size_t at) {
  return hn::Mul(Dot64(kept, query.q + at), hn::Set(FloatTag(), scale));
}
HWY_INLINE FloatVec KeptDot(const RealLanes& kept, float, const SparseQuery& query, size_t at) {
  const FloatTag df;
  const float* q = query.floats + at;
  const FloatVec sum0 =
      hn::MulAdd(kept.v1, hn::LoadU(df, q + 16), hn::Mul(kept.v0, hn::LoadU(df, q)));
  const FloatVec sum1 =
      hn::MulAdd(kept.v3, hn::LoadU(df, q + 48), hn::Mul(kept.v2, hn::LoadU(df, q + 32)));
  return hn::Add(sum0, sum1);
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
    const auto row_at = [&](size_t token)
                            HWY_ATTR { return KeptRow<kType>(rows + token * keys.row_bytes); };
    KeptRow<kType> row0 = row_at(t), row1 = row_at(t1), row2 = row_at(t2), row3 = row_at(t3);
    for (size_t j = 0; j < dim; j += 64) {
      const auto place = [&](size_t token) { return token * mask_bytes + j / 8; };
      const auto signs_at = [&](size_t token) HWY_ATTR {
        return SignsOf<kSigned>(masks + place(token), signs + (kSigned ? place(token) : 0));
      };
      const auto x0 = NextKept(row0, masks + place(t)), x1 = NextKept(row1, masks + place(t1));
      const auto x2 = NextKept(row2, masks + place(t2)), x3 = NextKept(row3, masks + place(t3));
      const CodeLanes s0 = signs_at(t), s1 = signs_at(t1), s2 = signs_at(t2), s3 = signs_at(t3);
      for (size_t r = 0; r < n_rows; ++r) {
        const size_t at = r * dim + j;
        const float* share = shares + r * kTokenTile + t;
        const auto product = [&](const auto& kept, const CodeLanes& sign, float scale,
                                 size_t i) HWY_ATTR {
          const FloatVec f = KeptDot(kept, scale, query, at);
          if constexpr (!kSigned) return f;
          return hn::MulAdd(Dot64(sign, query.filled + at), hn::Set(df, share[i]), f);
        };
        float* out = scores + r * stride + t;
        float dots[4];
        Sum4(df, product(x0, s0, row0.scale, 0), product(x1, s1, row1.scale, 1),
             product(x2, s2, row2.scale, 2), product(x3, s3, row3.scale, 3),
             valid == 4 && j == 0 ? out : dots);
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
      StoreUpTo(df, score, row + t, n - t);
    }
  }
}

template <DType kType>
void SparseDotsOfType(const RowsView& keys, size_t first, size_t n, const SparseQuery& query,
                      size_t n_rows, float* scores, size_t stride) {
  if (keys.scalars != nullptr) {
    SparseDotsOf<kType, true>(keys, first, n, query, n_rows, scores, stride);
  } else {
    SparseDotsOf<kType, false>(keys, first, n, query, n_rows, scores, stride);
  }
}

inline void SparseDots(const RowsView& keys, size_t first, size_t n, const SparseQuery& query,
                       size_t n_rows, float* scores, size_t stride) {
  switch (keys.type) {
    case DType::kF16:
      return SparseDotsOfType<DType::kF16>(keys, first, n, query, n_rows, scores, stride);
    case DType::kBF16:
      return SparseDotsOfType<DType::kBF16>(keys, first, n, query, n_rows, scores, stride);
    case DType::kQ8_0:
      return SparseDotsOfType<DType::kQ8_0>(keys, first, n, query, n_rows, scores, stride);
    default:  // HasSparseDots() allows no others
      return SparseDotsOfType<DType::kQ4_0>(keys, first, n, query, n_rows, scores, stride);
  }
}

#else

inline bool HasSparseDots(const RowsView&) { return false; }
inline SparseQuery MakeSparseQuery(const RowsView&, const float*, size_t, bool, float*) {
  return {};
}
inline void SparseDots(const RowsView&, size_t, size_t, const SparseQuery&, size_t, float*,
                       size_t) {}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_SPARSE_DOTS_INL_H_
