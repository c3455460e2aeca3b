#include "backend/cpu/float_matmul.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/float_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/float_blocks-inl.h"
#include "backend/cpu/weight_memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

size_t FloatPanelLanesKernel() { return hn::Lanes(FloatTag()); }

// out = row · x. The row comes from memory, so what counts is that it is read in the order of its
// bytes, and asked for in time: four rows at once got 12.7 GB/s of f16, this 14.4,
// where a core of a Sapphire Rapids reads 17.
template <class T>
HWY_INLINE float FloatDot(const T* HWY_RESTRICT row, const float* HWY_RESTRICT x, size_t n) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  FloatVec sum0 = hn::Zero(df), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  const auto add = [&](FloatVec sum, size_t j) HWY_ATTR {
    return hn::MulAdd(LoadFloats(df, row + j), hn::LoadU(df, x + j), sum);
  };
  size_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    PrefetchOrBurst<4 * HWY_MAX_LANES_D(FloatTag) * sizeof(T)>(row + j);
    sum0 = add(sum0, j);
    sum1 = add(sum1, j + lanes);
    sum2 = add(sum2, j + 2 * lanes);
    sum3 = add(sum3, j + 3 * lanes);
  }
  for (; j + lanes <= n; j += lanes) sum0 = add(sum0, j);
  if (j < n) {
    sum1 = hn::MulAdd(LoadFloatsN(df, row + j, n - j), hn::LoadN(df, x + j, n - j), sum1);
  }
  return hn::ReduceSum(df, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)));
}

// Several activation rows meet a weight row while it is in the L1 cache.
void FloatDotRowsKernel(DType type, const std::byte* rows, size_t n_rows, size_t cols,
                        const float* x, size_t n, float* out, size_t out_stride) {
  WithFloatType(type, rows, [&](const auto* typed) HWY_ATTR {
    for (size_t i = 0; i < n_rows; ++i, typed += cols) {
      for (size_t m = 0; m < n; ++m) out[m * out_stride + i] = FloatDot(typed, x + m * cols, cols);
    }
  });
}

void PackFloatPanelKernel(const float* x, size_t n, size_t cols, float* panel) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t k = 0; k < cols; ++k) {
    for (size_t m = 0; m < n; ++m) panel[k * lanes + m] = x[m * cols + k];
    for (size_t m = n; m < lanes; ++m) panel[k * lanes + m] = 0;
  }
}

// Four weight rows times one or two panels. result: [lanes or 2 * lanes, 4]
template <bool kTwo>
HWY_INLINE void FloatPanelBlock(const float* rows, size_t cols, const float* panel, float* result) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  FloatVec c00 = hn::Zero(df), c10 = c00, c20 = c00, c30 = c00;
  FloatVec c01 = c00, c11 = c00, c21 = c00, c31 = c00;
  OuterBlock<4, kTwo>(cols, rows, cols, 1, panel, panel + cols * lanes, lanes, c00, c10, c20, c30,
                      c01, c11, c21, c31);
  hn::StoreInterleaved4(c00, c10, c20, c30, df, result);
  if constexpr (kTwo) hn::StoreInterleaved4(c01, c11, c21, c31, df, result + 4 * lanes);
}

void FloatPanelProductKernel(const float* rows, size_t n_rows, size_t cols, const float* panels,
                             size_t n_x, float* out, size_t out_stride) {
  const size_t lanes = hn::Lanes(FloatTag());
  float result[2 * 16 * 4];
  for (size_t m = 0; m < n_x; m += 2 * lanes) {
    const float* panel = panels + m * cols;
    const size_t n = std::min(2 * lanes, n_x - m);
    for (size_t row = 0; row < n_rows; row += 4) {
      if (n > lanes) {
        FloatPanelBlock<true>(rows + row * cols, cols, panel, result);
      } else {
        FloatPanelBlock<false>(rows + row * cols, cols, panel, result);
      }
      const size_t bytes = std::min<size_t>(4, n_rows - row) * sizeof(float);
      for (size_t i = 0; i < n; ++i) {
        std::memcpy(out + (m + i) * out_stride + row, result + 4 * i, bytes);
      }
    }
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(FloatPanelLanesKernel);
HWY_EXPORT(FloatDotRowsKernel);
HWY_EXPORT(PackFloatPanelKernel);
HWY_EXPORT(FloatPanelProductKernel);

void FloatDotRows(DType type, const std::byte* rows, size_t n_rows, size_t cols, const float* x,
                  size_t n, float* out, size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(FloatDotRowsKernel)(type, rows, n_rows, cols, x, n, out, out_stride);
}
size_t FloatPanelLanes() { return HWY_DYNAMIC_DISPATCH(FloatPanelLanesKernel)(); }
void PackFloatPanel(const float* x, size_t n, size_t cols, float* panel) {
  HWY_DYNAMIC_DISPATCH(PackFloatPanelKernel)(x, n, cols, panel);
}
void FloatPanelProduct(const float* rows, size_t n_rows, size_t cols, const float* panels, size_t n,
                       float* out, size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(FloatPanelProductKernel)(rows, n_rows, cols, panels, n, out, out_stride);
}

}  // namespace spark
#endif  // HWY_ONCE
