// Attention of few query rows (decoding): every key and value is read once, for all query heads of
// its group together.
#include <hwy/cache_control.h>

#include <algorithm>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attend_few.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/exp-inl.h"
#include "backend/cpu/expand_keys-inl.h"
#include "backend/cpu/float_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Dense stores are read as they lie, channel-sparse ones through a tile of expanded tokens.
void ScoreRowsKernel(const KeyView& keys, size_t first, size_t count, const float* q, size_t n_rows,
                     float* scores, size_t stride, float* scratch) {
  const size_t dim = keys.head_dim;
  if (keys.channels != nullptr) {  // gather q once: then the store is dense, of `width` channels
    for (size_t r = 0; r < n_rows; ++r) {
      for (size_t i = 0; i < keys.width; ++i) {
        scratch[r * keys.width + i] = q[r * dim + keys.channels[i]];
      }
    }
    q = scratch;
  }
  WithFloatType(keys.type, keys.values, [&](const auto* values) HWY_ATTR {
    if (keys.masks == nullptr) {
      DotRowsWith(values + first * keys.width, keys.width, count, keys.width, q, keys.width, n_rows,
                  scores, stride);
      return;
    }
    const size_t row = RoundUp(dim, 16);
    for (size_t t = 0; t < count; t += kTokenTile) {
      const size_t n = HWY_MIN(kTokenTile, count - t);
      ExpandSparseKeys(keys, values, first + t, n, scratch, row);
      DotRowsWith(scratch, row, n, dim, q, dim, n_rows, scores + t, stride);
    }
  });
}

// Scores to exp(scale * score - maximum), in place.
void SoftmaxRow(float* scores, size_t n, float scale, float& max, float& sum) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const FloatVec unit = hn::Set(df, scale);
  const FloatVec masked = hn::Set(df, kMasked);
  FloatVec largest = masked;
  for (size_t t = 0; t < n; t += lanes) {
    const auto valid = hn::FirstN(df, n - t);
    const FloatVec s = hn::Mul(hn::LoadN(df, scores + t, n - t), unit);
    largest = hn::Max(largest, hn::IfThenElse(valid, s, masked));
  }
  max = hn::ReduceMax(df, largest);
  const FloatVec shift = hn::Set(df, max);
  FloatVec total = hn::Zero(df);
  for (size_t t = 0; t < n; t += lanes) {
    const auto valid = hn::FirstN(df, n - t);
    const FloatVec s = hn::Mul(hn::LoadN(df, scores + t, n - t), unit);
    const FloatVec p = hn::IfThenElseZero(valid, Exp(df, hn::Sub(s, shift)));
    total = hn::Add(total, p);
    hn::StoreN(p, df, scores + t, n - t);
  }
  sum = hn::ReduceSum(df, total);
}

// out[r, j] = Σ_t p[r, t] v[t, j] for kRows rows. v: [n, D]; whole vectors of it are read, which
// the store's slack allows.
template <size_t kRows, class T>
HWY_NOINLINE void WeightedRows(const float* p, size_t stride, const T* v, size_t n, size_t dim,
                               float* out) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < dim; j += 2 * lanes) {
    FloatVec c00 = hn::Zero(df), c10 = c00, c20 = c00, c30 = c00;
    FloatVec c01 = c00, c11 = c00, c21 = c00, c31 = c00;
    const bool two = j + lanes < dim;
    if (two) {
      OuterBlock<kRows, true>(n, p, stride, 1, v + j, v + j + lanes, dim, c00, c10, c20, c30, c01,
                              c11, c21, c31);
    } else {
      OuterBlock<kRows, false>(n, p, stride, 1, v + j, v + j, dim, c00, c10, c20, c30, c01, c11,
                               c21, c31);
    }
    const auto store = [&](size_t r, FloatVec c0, FloatVec c1) HWY_ATTR {
      hn::StoreN(c0, df, out + r * dim + j, dim - j);
      if (two) hn::StoreN(c1, df, out + r * dim + j + lanes, dim - j - lanes);
    };
    store(0, c00, c01);
    if constexpr (kRows > 1) store(1, c10, c11);
    if constexpr (kRows > 2) store(2, c20, c21);
    if constexpr (kRows > 3) store(3, c30, c31);
  }
}

template <class T>
HWY_INLINE void WeightedValues(const float* p, size_t n_rows, size_t stride, const T* v, size_t n,
                               size_t dim, float* out) {
  for (size_t r = 0; r < n_rows;) {
    const size_t rest = n_rows - r;
    const float* pr = p + r * stride;
    float* row = out + r * dim;
    if (rest >= 4) {
      WeightedRows<4>(pr, stride, v, n, dim, row);
      r += 4;
    } else if (rest == 3) {
      WeightedRows<3>(pr, stride, v, n, dim, row);
      r += 3;
    } else {
      WeightedRows<1>(pr, stride, v, n, dim, row);
      r += 1;
    }
  }
}

// Asks for rows [first, first + n) of a store at once. Without it decoding waited for memory a
// third longer: hardware sees only some hundred bytes ahead in each array.
void PrefetchRows(const std::byte* rows, size_t row_bytes, size_t first, size_t n) {
  const std::byte* p = rows + first * row_bytes;
  for (size_t i = 0; i < n * row_bytes; i += 64) hwy::Prefetch(p + i);
}

void AttendFewKernel(const QueryTile& queries, const TokenRun& run, float* scratch,
                     const Partial& out) {
  const size_t stride = kMaxFewTokens;
  float* scores = scratch;  // [n_rows, kMaxFewTokens]
  PrefetchRows(run.keys.values, run.keys.width * Traits(run.keys.type).block_bytes, run.first,
               run.count);
  PrefetchRows(run.values, queries.head_dim * Traits(run.value_type).block_bytes, run.first,
               run.count);
  ScoreRowsKernel(run.keys, run.first, run.count, queries.q, queries.n_rows, scores, stride,
                  scratch + kFewQueryRows * stride);
  for (size_t r = 0; r < queries.n_rows; ++r) {
    size_t visible = run.count;
    if (run.causal) {
      const auto limit = static_cast<size_t>(queries.limits[r]);
      visible = limit > run.first ? std::min(visible, limit - run.first) : 0;
    }
    float* row = scores + r * stride;
    SoftmaxRow(row, visible, queries.scale, out.max[r], out.sum[r]);
    std::fill(row + visible, row + run.count, 0.0f);
  }
  WithFloatType(run.value_type, run.values, [&](const auto* values) HWY_ATTR {
    WeightedValues(scores, queries.n_rows, stride, values + run.first * queries.head_dim, run.count,
                   queries.head_dim, out.values);
  });
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(ScoreRowsKernel);
HWY_EXPORT(AttendFewKernel);

void ScoreRows(const KeyView& keys, size_t first, size_t count, const float* q, size_t n_rows,
               float* scores, size_t stride, std::byte* scratch) {
  HWY_DYNAMIC_DISPATCH(ScoreRowsKernel)
  (keys, first, count, q, n_rows, scores, stride, reinterpret_cast<float*>(scratch));
}
void AttendFew(const QueryTile& queries, const TokenRun& run, std::byte* scratch,
               const Partial& out) {
  HWY_DYNAMIC_DISPATCH(AttendFewKernel)(queries, run, reinterpret_cast<float*>(scratch), out);
}

}  // namespace spark
#endif  // HWY_ONCE
