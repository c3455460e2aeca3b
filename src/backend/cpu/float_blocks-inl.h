// The two register-blocked products in f32 that float weights and attention are made of.
#if defined(SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
#undef SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
#else
#define SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
#endif

#include <cstddef>

#include "backend/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// c<r><v> += Σ_k a[r, k] · b<v>[k]: kRows <= 4 scalars of `a`, each broadcast, times one or two
// vectors of `b`. Element (r, k) of `a` is at a + r * a_row + k * a_k, vector k of b<v> at
// b<v> + k * b_k. The accumulators have names and are no array: vectors of some targets have no
// size. Eight chains hide the latency of a fused multiply-add (4 cycles, two a cycle).
template <size_t kRows, bool kTwo, class T>
HWY_INLINE void OuterBlock(size_t n_k, const float* HWY_RESTRICT a, size_t a_row, size_t a_k,
                           const T* HWY_RESTRICT b0, const T* HWY_RESTRICT b1, size_t b_k,
                           FloatVec& c00, FloatVec& c10, FloatVec& c20, FloatVec& c30,
                           FloatVec& c01, FloatVec& c11, FloatVec& c21, FloatVec& c31) {
  const FloatTag df;
  for (size_t k = 0; k < n_k; ++k) {
    const FloatVec v0 = LoadFloats(df, b0 + k * b_k);
    FloatVec v1 = v0;
    if constexpr (kTwo) v1 = LoadFloats(df, b1 + k * b_k);
    const float* ak = a + k * a_k;
    const FloatVec s0 = hn::Set(df, ak[0]);
    c00 = hn::MulAdd(s0, v0, c00);
    if constexpr (kTwo) c01 = hn::MulAdd(s0, v1, c01);
    if constexpr (kRows > 1) {
      const FloatVec s1 = hn::Set(df, ak[a_row]);
      c10 = hn::MulAdd(s1, v0, c10);
      if constexpr (kTwo) c11 = hn::MulAdd(s1, v1, c11);
    }
    if constexpr (kRows > 2) {
      const FloatVec s2 = hn::Set(df, ak[2 * a_row]);
      c20 = hn::MulAdd(s2, v0, c20);
      if constexpr (kTwo) c21 = hn::MulAdd(s2, v1, c21);
    }
    if constexpr (kRows > 3) {
      const FloatVec s3 = hn::Set(df, ak[3 * a_row]);
      c30 = hn::MulAdd(s3, v0, c30);
      if constexpr (kTwo) c31 = hn::MulAdd(s3, v1, c31);
    }
  }
}

// The same of kRows <= 3 rows and four vectors of `b`, one behind the other: twelve sums stay in
// the 16 registers that some targets have, and what is broadcast serves all four.
template <size_t kRows, class T>
HWY_INLINE void WideOuterBlock(size_t n_k, const float* HWY_RESTRICT a, size_t a_row,
                               const T* HWY_RESTRICT b, size_t b_k, FloatVec& c00, FloatVec& c10,
                               FloatVec& c20, FloatVec& c01, FloatVec& c11, FloatVec& c21,
                               FloatVec& c02, FloatVec& c12, FloatVec& c22, FloatVec& c03,
                               FloatVec& c13, FloatVec& c23) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  for (size_t k = 0; k < n_k; ++k) {
    const T* bk = b + k * b_k;
    const FloatVec s0 = hn::Set(df, a[k]);
    const FloatVec s1 = hn::Set(df, a[kRows > 1 ? a_row + k : k]);
    const FloatVec s2 = hn::Set(df, a[kRows > 2 ? 2 * a_row + k : k]);
    const auto add = [&](size_t i, FloatVec& c0, FloatVec& c1, FloatVec& c2) SPARK_INLINE_LAMBDA {
      const FloatVec v = LoadFloats(df, bk + i * lanes);
      c0 = hn::MulAdd(s0, v, c0);
      if constexpr (kRows > 1) c1 = hn::MulAdd(s1, v, c1);
      if constexpr (kRows > 2) c2 = hn::MulAdd(s2, v, c2);
    };
    add(0, c00, c10, c20);
    add(1, c01, c11, c21);
    add(2, c02, c12, c22);
    add(3, c03, c13, c23);
  }
}

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
template <class T, class Memory>
HWY_NOINLINE void DotRowsWith(const T* rows, size_t stride, size_t n_rows, size_t n, const float* x,
                              size_t x_stride, size_t n_x, float* out, size_t out_stride,
                              Memory& memory) {
  auto ahead = memory.Begin();
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

#endif  // SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
