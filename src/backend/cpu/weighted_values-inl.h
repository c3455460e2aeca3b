// Sums of cached values, weighted by the softmax weights of few query rows, in f32 (those of q8_0
// values in integers: code_values-inl.h).
#if defined(SPARK_BACKEND_CPU_WEIGHTED_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_WEIGHTED_VALUES_INL_H_
#undef SPARK_BACKEND_CPU_WEIGHTED_VALUES_INL_H_
#else
#define SPARK_BACKEND_CPU_WEIGHTED_VALUES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/float_blocks-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Values of n tokens as floats, token t's at rows + t * stride. Whole vectors of them are read,
// which the store's slack allows.
template <class T>
struct ValueRows {
  const T* rows;
  size_t stride;
  size_t n;
};
template <class T>
ValueRows(const T*, size_t, size_t) -> ValueRows<T>;

constexpr size_t kStepTokens = 4;  // values between two steps of LinesAhead
constexpr size_t kWideRows = 3;    // that meet four vectors of values at a time

// Calls body(std::integral_constant<size_t, rows>(), first row) for groups of four query rows, and
// for what is left.
template <class Body>
HWY_INLINE void ByValueRows(size_t n_rows, const Body& body) {
  size_t r = 0;
  for (; n_rows - r >= 4; r += 4) body(std::integral_constant<size_t, 4>(), r);
  if (n_rows - r == 3) body(std::integral_constant<size_t, 3>(), r);
  if (n_rows - r == 2) body(std::integral_constant<size_t, 2>(), r);
  if (n_rows - r == 1) body(std::integral_constant<size_t, 1>(), r);
}

// body(first token, how many), with a constant where it can be.
template <class Body>
HWY_INLINE void ByStepTokens(size_t n, LinesAhead& ahead, const Body& body) {
  size_t t = 0;
  for (; t + kStepTokens <= n; t += kStepTokens) {
    ahead.Step();
    body(t, std::integral_constant<size_t, kStepTokens>());
  }
  if (t < n) body(t, n - t);
}

// out[r, j] = Σ_t p[r, t] v[t, j] for kRows <= 3 rows and four vectors of columns, beside what is
// there if `add`. out: [kRows, dim]
template <size_t kRows, class T>
HWY_INLINE void WideColumns(const float* p, size_t stride, const ValueRows<T>& values, size_t dim,
                            bool add, float* out, LinesAhead& ahead) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const auto old = [&](size_t r, size_t i) SPARK_INLINE_LAMBDA {
    return add && r < kRows ? hn::LoadU(df, out + r * dim + i * lanes) : hn::Zero(df);
  };
  FloatVec c00 = old(0, 0), c10 = old(1, 0), c20 = old(2, 0);
  FloatVec c01 = old(0, 1), c11 = old(1, 1), c21 = old(2, 1);
  FloatVec c02 = old(0, 2), c12 = old(1, 2), c22 = old(2, 2);
  FloatVec c03 = old(0, 3), c13 = old(1, 3), c23 = old(2, 3);
  ByStepTokens(values.n, ahead, [&](size_t t, auto n_t) SPARK_INLINE_LAMBDA {
    WideOuterBlock<kRows>(n_t, p + t, stride, values.rows + t * values.stride, values.stride, c00,
                          c10, c20, c01, c11, c21, c02, c12, c22, c03, c13, c23);
  });
  const auto store = [&](size_t r, FloatVec c0, FloatVec c1, FloatVec c2, FloatVec c3)
                         SPARK_INLINE_LAMBDA {
                           float* to = out + r * dim;
                           hn::StoreU(c0, df, to);
                           hn::StoreU(c1, df, to + lanes);
                           hn::StoreU(c2, df, to + 2 * lanes);
                           hn::StoreU(c3, df, to + 3 * lanes);
                         };
  store(0, c00, c01, c02, c03);
  if constexpr (kRows > 1) store(1, c10, c11, c12, c13);
  if constexpr (kRows > 2) store(2, c20, c21, c22, c23);
}

// The same for up to four rows and up to two vectors of columns, n_cols of them.
template <size_t kRows, class T>
HWY_INLINE void TwoColumns(const float* p, size_t stride, const ValueRows<T>& values, size_t n_cols,
                           size_t dim, bool add, float* out, LinesAhead& ahead) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const bool two = lanes < n_cols;
  const auto old0 = [&](size_t r) SPARK_INLINE_LAMBDA {
    return add && r < kRows ? hn::LoadN(df, out + r * dim, n_cols) : hn::Zero(df);
  };
  const auto old1 = [&](size_t r) SPARK_INLINE_LAMBDA {
    if (!add || !two || r >= kRows) return hn::Zero(df);
    return hn::LoadN(df, out + r * dim + lanes, n_cols - lanes);
  };
  FloatVec c00 = old0(0), c10 = old0(1), c20 = old0(2), c30 = old0(3);
  FloatVec c01 = old1(0), c11 = old1(1), c21 = old1(2), c31 = old1(3);
  ByStepTokens(values.n, ahead, [&](size_t t, auto n_t) SPARK_INLINE_LAMBDA {
    const T* v = values.rows + t * values.stride;
    if (two) {
      OuterBlock<kRows, true>(n_t, p + t, stride, 1, v, v + lanes, values.stride, c00, c10, c20,
                              c30, c01, c11, c21, c31);
    } else {
      OuterBlock<kRows, false>(n_t, p + t, stride, 1, v, v, values.stride, c00, c10, c20, c30, c01,
                               c11, c21, c31);
    }
  });
  const auto store = [&](size_t r, FloatVec c0, FloatVec c1) SPARK_INLINE_LAMBDA {
    StoreUpTo(df, c0, out + r * dim, n_cols);
    if (two) StoreUpTo(df, c1, out + r * dim + lanes, n_cols - lanes);
  };
  store(0, c00, c01);
  if constexpr (kRows > 1) store(1, c10, c11);
  if constexpr (kRows > 2) store(2, c20, c21);
  if constexpr (kRows > 3) store(3, c30, c31);
}

// The same for j < n_cols.
template <size_t kRows, class T>
HWY_NOINLINE void WeightedRows(const float* p, size_t stride, const ValueRows<T>& values,
                               size_t n_cols, size_t dim, bool add, float* out, RunMemory& memory) {
  const size_t lanes = hn::Lanes(FloatTag());
  LinesAhead ahead = memory.Begin();
  size_t j = 0;
  const auto rest = [&] { return ValueRows<T>{values.rows + j, values.stride, values.n}; };
  if constexpr (kRows <= kWideRows) {
    for (; j + 4 * lanes <= n_cols; j += 4 * lanes) {
      WideColumns<kRows>(p, stride, rest(), dim, add, out + j, ahead);
    }
  }
  for (; j < n_cols; j += 2 * lanes) {
    TwoColumns<kRows>(p, stride, rest(), n_cols - j, dim, add, out + j, ahead);
  }
  memory.End(ahead);
}

template <class T>
HWY_INLINE void WeightedTile(const float* p, size_t n_rows, size_t stride,
                             const ValueRows<T>& values, size_t n_cols, size_t dim, bool add,
                             float* out, RunMemory& memory) {
  ByValueRows(n_rows, [&](auto rows, size_t r) SPARK_INLINE_LAMBDA {
    WeightedRows<rows>(p + r * stride, stride, values, n_cols, dim, add, out + r * dim, memory);
  });
}

// The same of q8_0 values: codes count as they are, and scales go into p, group by group.
// scratch: room for D floats a token.
inline void AddCodeValues(const RowsView& values, size_t first, size_t n, const float* p,
                          size_t n_rows, size_t stride, bool add, float* scratch, float* out,
                          RunMemory& memory) {
  const FloatTag df;
  const size_t dim = values.head_dim;
  const size_t lanes = hn::Lanes(df);
  const std::byte* rows = values.values + first * values.row_bytes;
  const auto* codes = reinterpret_cast<const int8_t*>(rows + PackedScaleBytes(values.type, dim));
  // All scales first: a vector that is loaded right behind the stores of its parts has to wait.
  auto* scales = reinterpret_cast<F16*>(scratch);  // [groups, kTokenTile]
  const size_t groups = CeilDiv(dim, kScaleGroup);
  for (size_t g = 0; g < groups; ++g) {
    for (size_t t = 0; t < n; ++t) {
      std::memcpy(scales + g * kTokenTile + t, rows + t * values.row_bytes + g * sizeof(F16),
                  sizeof(F16));
    }
  }
  float* scaled = scratch + groups * kTokenTile / 2;  // [n_rows, kTokenTile]
  for (size_t g = 0; g < groups; ++g) {
    const auto* group_scales = reinterpret_cast<const hwy::float16_t*>(scales + g * kTokenTile);
    for (size_t t = 0; t < n; t += lanes) {
      const FloatVec scale = LoadFloats(df, group_scales + t);
      for (size_t r = 0; r < n_rows; ++r) {
        // Scores have room for whole vectors behind the last token.
        hn::StoreU(hn::Mul(scale, hn::LoadU(df, p + r * stride + t)), df,
                   scaled + r * kTokenTile + t);
      }
    }
    const size_t j = g * kScaleGroup;
    const ValueRows<int8_t> group{codes + j, values.row_bytes, n};
    WeightedTile(scaled, n_rows, kTokenTile, group, HWY_MIN(kScaleGroup, dim - j), dim, add,
                 out + j, memory);
  }
}

// out[r, j] = Σ_t p[r, t] v[t, j] over at most kTokenTile tokens, beside what is there if `add`.
HWY_INLINE void AddValues(const RowsView& values, size_t first, size_t n, const float* p,
                          size_t n_rows, size_t stride, bool add, float* tile, float* out,
                          RunMemory& memory) {
  const size_t dim = values.head_dim;
  if (IsPlain(values)) {
    WithFloatType(values.type, values.values, [&](const auto* rows) HWY_ATTR {
      WeightedTile(p, n_rows, stride, ValueRows{rows + first * dim, dim, n}, dim, dim, add, out,
                   memory);
    });
  } else if (values.masks == nullptr && values.type == DType::kQ8_0) {
    AddCodeValues(values, first, n, p, n_rows, stride, add, tile, out, memory);
  } else {
    const size_t row = RoundUp(dim, 16);
    ExpandRows(values, first, n, tile, row);
    const float* rows = tile;
    WeightedTile(p, n_rows, stride, ValueRows{rows, row, n}, dim, dim, add, out, memory);
  }
}

// Steps of LinesAhead that AddValues() takes for n tokens, about.
inline size_t ValueSteps(const RowsView& values, size_t n, size_t n_rows) {
  const size_t lanes = hn::Lanes(FloatTag());
  size_t columns = 0;  // that are summed at a time
  ByValueRows(n_rows, [&](size_t rows, size_t) {
    columns += CeilDiv(values.head_dim, (rows <= kWideRows ? 4 : 2) * lanes);
  });
  return CeilDiv(n, kStepTokens) * columns;
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_WEIGHTED_VALUES_INL_H_
