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
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/float_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Plain stores are read as they lie, others through a tile of expanded tokens.
void ScoreRowsKernel(const RowsView& keys, size_t first, size_t count, const float* q,
                     size_t n_rows, float* scores, size_t stride, float* scratch) {
  const size_t width = keys.masks == nullptr ? keys.width : keys.head_dim;
  if (keys.channels != nullptr) {  // gather q once: then the store is dense, of `width` channels
    for (size_t r = 0; r < n_rows; ++r) {
      for (size_t i = 0; i < width; ++i) {
        scratch[r * width + i] = q[r * keys.head_dim + keys.channels[i]];
      }
    }
    q = scratch;
  }
  if (IsPlain(keys)) {
    WithFloatType(keys.type, keys.values, [&](const auto* values) HWY_ATTR {
      DotRowsWith(values + first * width, width, count, width, q, width, n_rows, scores, stride);
    });
    return;
  }
  const size_t row = RoundUp(width, 16);
  float* tile = scratch + kFewQueryRows * RoundUp(keys.head_dim, 16);
  for (size_t t = 0; t < count; t += kTokenTile) {
    const size_t n = HWY_MIN(kTokenTile, count - t);
    ExpandRows(keys, first + t, n, tile, row);
    DotRowsWith(tile, row, n, width, q, width, n_rows, scores + t, stride);
  }
}

// Scores s to cap * tanh(scale * s / cap), in place.
void CapRow(float* scores, size_t n, const ScoreScale& scale) {
  const FloatTag df;
  const FloatVec unit = hn::Set(df, scale.scale / scale.softcap);
  const FloatVec cap = hn::Set(df, scale.softcap);
  for (size_t t = 0; t < n; t += hn::Lanes(df)) {
    const FloatVec s = hn::Mul(hn::LoadN(df, scores + t, n - t), unit);
    hn::StoreN(hn::Mul(Tanh(df, s), cap), df, scores + t, n - t);
  }
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

// Values of n tokens as floats, token t's at rows + t * stride. Whole vectors of them are read,
// which the store's slack allows.
template <class T>
struct ValueRows {
  const T* rows;
  size_t stride;
  size_t n;
};

// out[r, j] = Σ_t p[r, t] v[t, j] for kRows rows, beside what is there if `add`.
template <size_t kRows, class T>
HWY_NOINLINE void WeightedRows(const float* p, size_t stride, const ValueRows<T>& values,
                               size_t dim, bool add, float* out) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t n = values.n;
  for (size_t j = 0; j < dim; j += 2 * lanes) {
    const T* v = values.rows + j;
    const bool two = j + lanes < dim;
    const auto old0 = [&](size_t r) HWY_ATTR {
      return add && r < kRows ? hn::LoadN(df, out + r * dim + j, dim - j) : hn::Zero(df);
    };
    const auto old1 = [&](size_t r) HWY_ATTR {
      if (!add || !two || r >= kRows) return hn::Zero(df);
      return hn::LoadN(df, out + r * dim + j + lanes, dim - j - lanes);
    };
    FloatVec c00 = old0(0), c10 = old0(1), c20 = old0(2), c30 = old0(3);
    FloatVec c01 = old1(0), c11 = old1(1), c21 = old1(2), c31 = old1(3);
    if (two) {
      OuterBlock<kRows, true>(n, p, stride, 1, v, v + lanes, values.stride, c00, c10, c20, c30, c01,
                              c11, c21, c31);
    } else {
      OuterBlock<kRows, false>(n, p, stride, 1, v, v, values.stride, c00, c10, c20, c30, c01, c11,
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
HWY_INLINE void WeightedTile(const float* p, size_t n_rows, size_t stride,
                             const ValueRows<T>& values, size_t dim, bool add, float* out) {
  for (size_t r = 0; r < n_rows;) {
    const size_t rest = n_rows - r;
    const float* pr = p + r * stride;
    float* row = out + r * dim;
    if (rest >= 4) {
      WeightedRows<4>(pr, stride, values, dim, add, row);
      r += 4;
    } else if (rest == 3) {
      WeightedRows<3>(pr, stride, values, dim, add, row);
      r += 3;
    } else {
      WeightedRows<1>(pr, stride, values, dim, add, row);
      r += 1;
    }
  }
}

// out[r, j] = Σ_t p[r, t] v[t, j] over the run's tokens.
void WeightedValues(const TokenRun& run, const float* p, size_t n_rows, size_t stride,
                    float* scratch, float* out) {
  const RowsView& values = run.values;
  const size_t dim = values.head_dim;
  if (IsPlain(values)) {
    WithFloatType(values.type, values.values, [&](const auto* rows) HWY_ATTR {
      WeightedTile(p, n_rows, stride, ValueRows{rows + run.first * dim, dim, run.count}, dim, false,
                   out);
    });
    return;
  }
  const size_t row = RoundUp(dim, 16);
  for (size_t t = 0; t < run.count; t += kTokenTile) {
    const size_t n = HWY_MIN(kTokenTile, run.count - t);
    ExpandRows(values, run.first + t, n, scratch, row);
    const float* rows = scratch;
    WeightedTile(p + t, n_rows, stride, ValueRows{rows, row, n}, dim, t > 0, out);
  }
}

// Asks for rows [first, first + n) of a store at once. Without it decoding waited for memory a
// third longer: hardware sees only some hundred bytes ahead in each array. Where rows differ in
// length, the first one's is the guess; it costs nothing to be wrong.
void PrefetchRows(const RowsView& rows, size_t first, size_t n) {
  const std::byte* p = rows.offsets == nullptr
                           ? rows.values + first * rows.row_bytes
                           : rows.values + rows.offsets[first / SparseStore::kOffsetTokens];
  for (size_t i = 0; i < n * rows.row_bytes; i += 64) hwy::Prefetch(p + i);
}

void AttendFewKernel(const QueryTile& queries, const TokenRun& run, float* scratch,
                     const Partial& out) {
  const size_t stride = kMaxFewTokens;
  float* scores = scratch;  // [n_rows, kMaxFewTokens]
  float* rest = scratch + kFewQueryRows * stride;
  PrefetchRows(run.keys, run.first, run.count);
  PrefetchRows(run.values, run.first, run.count);
  ScoreRowsKernel(run.keys, run.first, run.count, queries.q, queries.n_rows, scores, stride, rest);
  for (size_t r = 0; r < queries.n_rows; ++r) {
    const VisibleTokens seen = Visible(run, queries, r);
    float* row = scores + r * stride;
    float* begin = row + (seen.first - run.first);
    const size_t n = seen.end - seen.first;
    const ScoreScale& scale = queries.scale;
    if (scale.softcap > 0) CapRow(begin, n, scale);
    SoftmaxRow(begin, n, scale.softcap > 0 ? 1.0f : scale.scale, out.max[r], out.sum[r]);
    std::fill(row, begin, 0.0f);
    std::fill(begin + n, row + run.count, 0.0f);
  }
  WeightedValues(run, scores, queries.n_rows, stride, rest, out.values);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(ScoreRowsKernel);
HWY_EXPORT(AttendFewKernel);

void ScoreRows(const RowsView& keys, size_t first, size_t count, const float* q, size_t n_rows,
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
