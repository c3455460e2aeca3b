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

// out0[i] = row i · x0, out1[i] = row i · x1 (kTwo only) for four rows of n elements.
template <bool kTwo, class T>
HWY_INLINE void DotBlock(const T* HWY_RESTRICT r0, const T* HWY_RESTRICT r1,
                         const T* HWY_RESTRICT r2, const T* HWY_RESTRICT r3, size_t n,
                         const float* HWY_RESTRICT x0, const float* HWY_RESTRICT x1, float* out0,
                         float* out1) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  FloatVec c00 = hn::Zero(df), c10 = c00, c20 = c00, c30 = c00;
  FloatVec c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  const auto add = [&](FloatVec w0, FloatVec w1, FloatVec w2, FloatVec w3, FloatVec y0, FloatVec y1)
                       HWY_ATTR {
                         c00 = hn::MulAdd(w0, y0, c00);
                         c10 = hn::MulAdd(w1, y0, c10);
                         c20 = hn::MulAdd(w2, y0, c20);
                         c30 = hn::MulAdd(w3, y0, c30);
                         if constexpr (kTwo) {
                           c01 = hn::MulAdd(w0, y1, c01);
                           c11 = hn::MulAdd(w1, y1, c11);
                           c21 = hn::MulAdd(w2, y1, c21);
                           c31 = hn::MulAdd(w3, y1, c31);
                         }
                       };
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    const FloatVec y0 = hn::LoadU(df, x0 + j);
    FloatVec y1 = y0;
    if constexpr (kTwo) y1 = hn::LoadU(df, x1 + j);
    add(LoadFloats(df, r0 + j), LoadFloats(df, r1 + j), LoadFloats(df, r2 + j),
        LoadFloats(df, r3 + j), y0, y1);
  }
  if (j < n) {
    const size_t rest = n - j;
    const FloatVec y0 = hn::LoadN(df, x0 + j, rest);
    FloatVec y1 = y0;
    if constexpr (kTwo) y1 = hn::LoadN(df, x1 + j, rest);
    add(LoadFloatsN(df, r0 + j, rest), LoadFloatsN(df, r1 + j, rest), LoadFloatsN(df, r2 + j, rest),
        LoadFloatsN(df, r3 + j, rest), y0, y1);
  }
  Sum4(df, c00, c10, c20, c30, out0);
  if constexpr (kTwo) Sum4(df, c01, c11, c21, c31, out1);
}

// out[v * out_stride + i] = row i · x[v], rows: [n_rows, n] at distance `stride`, x: [n_x, n] at
// distance `x_stride`. Not inlined: one copy a type is enough, and compiles in bearable time under
// sanitizers.
template <class T>
HWY_NOINLINE void DotRowsWith(const T* rows, size_t stride, size_t n_rows, size_t n, const float* x,
                              size_t x_stride, size_t n_x, float* out, size_t out_stride) {
  for (size_t i = 0; i < n_rows; i += 4) {
    // The last block may be short: it repeats the last row, and what comes out goes by a buffer.
    const size_t valid = HWY_MIN(size_t{4}, n_rows - i);
    const T* r0 = rows + i * stride;
    const T* r1 = r0 + HWY_MIN(size_t{1}, valid - 1) * stride;
    const T* r2 = r0 + HWY_MIN(size_t{2}, valid - 1) * stride;
    const T* r3 = r0 + HWY_MIN(size_t{3}, valid - 1) * stride;
    float dots[8];
    for (size_t v = 0; v < n_x; v += 2) {
      const float* x0 = x + v * x_stride;
      float* out0 = out + v * out_stride + i;
      float* out1 = out0 + out_stride;
      float* to0 = valid == 4 ? out0 : dots;
      float* to1 = valid == 4 ? out1 : dots + 4;
      const bool two = v + 1 < n_x;
      if (two) {
        DotBlock<true>(r0, r1, r2, r3, n, x0, x0 + x_stride, to0, to1);
      } else {
        DotBlock<false>(r0, r1, r2, r3, n, x0, x0, to0, to0);
      }
      if (valid == 4) continue;
      hwy::CopyBytes(dots, out0, valid * sizeof(float));
      if (two) hwy::CopyBytes(dots + 4, out1, valid * sizeof(float));
    }
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
