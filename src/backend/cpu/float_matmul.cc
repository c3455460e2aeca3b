#include "backend/cpu/float_matmul.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/float_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/float_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

size_t FloatPanelLanesKernel() { return hn::Lanes(FloatTag()); }

void FloatDotRowsKernel(DType type, const std::byte* rows, size_t n_rows, size_t cols,
                        const float* x, size_t n, float* out, size_t out_stride) {
  WithFloatType(type, rows, [&](const auto* typed) HWY_ATTR {
    DotRowsWith(typed, cols, n_rows, cols, x, cols, n, out, out_stride);
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
