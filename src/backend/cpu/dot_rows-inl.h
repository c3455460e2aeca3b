// Scores of a few queries: register-blocked dot products of rows, as they are stored, in f32.
#if defined(SPARK_BACKEND_CPU_DOT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_DOT_ROWS_INL_H_
#undef SPARK_BACKEND_CPU_DOT_ROWS_INL_H_
#else
#define SPARK_BACKEND_CPU_DOT_ROWS_INL_H_
#endif

#include <cstddef>

#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out[v * out_stride + i] = row i · x[v] for four rows of n elements and kX <= 3 of x: twelve sums
// stay in the 16 registers that some targets have.
template <size_t kX, class T>
HWY_INLINE void DotBlock(const T* HWY_RESTRICT r0, const T* HWY_RESTRICT r1,
                         const T* HWY_RESTRICT r2, const T* HWY_RESTRICT r3, size_t n,
                         const float* HWY_RESTRICT x, size_t x_stride, float* out,
                         size_t out_stride) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const float* x1 = kX > 1 ? x + x_stride : x;
  const float* x2 = kX > 2 ? x1 + x_stride : x;
  FloatVec c00 = hn::Zero(df), c10 = c00, c20 = c00, c30 = c00;
  FloatVec c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  FloatVec c02 = c00, c12 = c00, c22 = c00, c32 = c00;
  const auto add = [&](const auto& load_row, const auto& load_x) SPARK_INLINE_LAMBDA {
    const FloatVec y0 = load_x(x), y1 = load_x(x1), y2 = load_x(x2);
    const auto add_row = [&](FloatVec w, FloatVec& a0, FloatVec& a1, FloatVec& a2)
                             SPARK_INLINE_LAMBDA {
                               a0 = hn::MulAdd(w, y0, a0);
                               if constexpr (kX > 1) a1 = hn::MulAdd(w, y1, a1);
                               if constexpr (kX > 2) a2 = hn::MulAdd(w, y2, a2);
                             };
    add_row(load_row(r0), c00, c01, c02);
    add_row(load_row(r1), c10, c11, c12);
    add_row(load_row(r2), c20, c21, c22);
    add_row(load_row(r3), c30, c31, c32);
  };
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    add([&](const T* row) SPARK_INLINE_LAMBDA { return LoadFloats(df, row + j); },
        [&](const float* xs) SPARK_INLINE_LAMBDA { return hn::LoadU(df, xs + j); });
  }
  if (j < n) {
    add([&](const T* row) SPARK_INLINE_LAMBDA { return LoadFloatsN(df, row + j, n - j); },
        [&](const float* xs) SPARK_INLINE_LAMBDA { return hn::LoadN(df, xs + j, n - j); });
  }
  Sum4(df, c00, c10, c20, c30, out);
  if constexpr (kX > 1) Sum4(df, c01, c11, c21, c31, out + out_stride);
  if constexpr (kX > 2) Sum4(df, c02, c12, c22, c32, out + 2 * out_stride);
}

constexpr size_t kDotRowsStep = 4;

// out[v * out_stride + i] = row i · x[v], rows: [n_rows, n] at distance `stride`, x: [n_x, n] at
// distance `x_stride`. Takes a step (run_memory-inl.h) every kDotRowsStep rows. Not inlined: one
// copy a type is enough, and compiles in bearable time under sanitizers.
template <class T>
HWY_NOINLINE void DotRowsWith(const T* rows, size_t stride, size_t n_rows, size_t n, const float* x,
                              size_t x_stride, size_t n_x, float* out, size_t out_stride,
                              RunMemory& memory) {
  LinesAhead ahead = memory.Begin();
  for (size_t i = 0; i < n_rows; i += kDotRowsStep) {
    ahead.Step();
    // The last block may be short: it repeats the last row, and what comes out goes by a buffer.
    const size_t valid = HWY_MIN(size_t{4}, n_rows - i);
    const T* r0 = rows + i * stride;
    const T* r1 = r0 + HWY_MIN(size_t{1}, valid - 1) * stride;
    const T* r2 = r0 + HWY_MIN(size_t{2}, valid - 1) * stride;
    const T* r3 = r0 + HWY_MIN(size_t{3}, valid - 1) * stride;
    ByThreeRows(n_x, [&](auto n_v, size_t v) SPARK_INLINE_LAMBDA {
      const float* xs = x + v * x_stride;
      float* to = out + v * out_stride + i;
      if (valid == 4) {
        DotBlock<n_v>(r0, r1, r2, r3, n, xs, x_stride, to, out_stride);
        return;
      }
      float dots[3 * 4];
      DotBlock<n_v>(r0, r1, r2, r3, n, xs, x_stride, dots, 4);
      for (size_t k = 0; k < n_v; ++k) {
        hwy::CopyBytes(dots + 4 * k, to + k * out_stride, valid * sizeof(float));
      }
    });
  }
  memory.End(ahead);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_DOT_ROWS_INL_H_
