// The register-blocked products in f32 that float weights and sums of values are made of.
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

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_FLOAT_BLOCKS_INL_H_
