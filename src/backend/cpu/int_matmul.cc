#include "backend/cpu/int_matmul.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/int_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/panel_product-inl.h"
#include "backend/cpu/quad_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

size_t PanelLanesKernel() { return hn::Lanes(FloatTag()); }

void QuantizeRowKernel(const float* x, size_t cols, size_t group, const QuantizedRow& out) {
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  const hn::Rebind<int8_t, FloatTag> d8;
  const size_t lanes = hn::Lanes(df);
  for (size_t block = 0; block < cols; block += 32) {
    FloatVec largest = hn::Zero(df);
    for (size_t k = block; k < block + 32; k += lanes) {
      largest = hn::Max(largest, hn::Abs(hn::LoadU(df, x + k)));
    }
    const float magnitude = hn::ReduceMax(df, largest);
    const float scale = magnitude / 127.0f;
    const FloatVec inverse = hn::Set(df, magnitude > 0 ? 127.0f / magnitude : 0.0f);
    for (size_t start = block; start < block + 32; start += group) {
      auto sum = hn::Zero(di);
      for (size_t k = start; k < start + group; k += lanes) {
        const auto q = hn::NearestInt(hn::Mul(hn::LoadU(df, x + k), inverse));
        sum = hn::Add(sum, q);
        hn::StoreU(hn::DemoteTo(d8, q), d8, out.q + k);
      }
      out.scales[start / group] = scale;
      out.sums[start / group] = scale * static_cast<float>(hn::ReduceSum(di, sum));
    }
  }
}

void QuantizePanelKernel(const float* x, size_t n, size_t cols, size_t group,
                         const QuantizedRow& row, const QuantizedRow& panel) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t m = 0; m < lanes; ++m) {
    if (m < n) {
      QuantizeRowKernel(x + m * cols, cols, group, row);
    } else if (m == n) {
      std::memset(row.q, 0, cols);
      std::fill_n(row.scales, cols / group, 0.0f);
      std::fill_n(row.sums, cols / group, 0.0f);
    }
    for (size_t k = 0; k < cols; k += 4) std::memcpy(panel.q + k * lanes + 4 * m, row.q + k, 4);
    for (size_t g = 0; g < cols / group; ++g) {
      panel.scales[g * lanes + m] = row.scales[g];
      panel.sums[g * lanes + m] = row.sums[g];
    }
  }
  for (size_t g = 0; g < cols / group; ++g) {
    SumPairs(panel.q + g * group * lanes, group / 4, panel.pair_sums + 2 * g * lanes);
  }
}

// offsets · sums, the part of a product that has no integers in it.
HWY_INLINE float DotGroups(const float* a, const float* b, size_t n) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  FloatVec sum = hn::Zero(df);
  size_t g = 0;
  for (; g + lanes <= n; g += lanes) {
    sum = hn::MulAdd(hn::LoadU(df, a + g), hn::LoadU(df, b + g), sum);
  }
  if (g < n) sum = hn::MulAdd(hn::LoadN(df, a + g, n - g), hn::LoadN(df, b + g, n - g), sum);
  return hn::ReduceSum(df, sum);
}

// Σ scale · dot over the first groups, a vector of whole groups at a time, where vectors hold more
// than one; `g` becomes how many were added.
template <Bytes kBytes, size_t kGroup, class V = FloatVec>
HWY_INLINE float DotWideVectors([[maybe_unused]] const uint8_t* q,
                                [[maybe_unused]] const float* scales,
                                [[maybe_unused]] const QuantizedRow& x,
                                [[maybe_unused]] size_t groups, [[maybe_unused]] size_t& g) {
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
  return 0.0f;
#else
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  constexpr size_t kLanes = HWY_MAX_LANES_D(FloatTag);
  constexpr size_t kGroups = 4 * kLanes / kGroup;  // of a vector
  if constexpr (kGroups < 2) {
    return 0.0f;
  } else {
    const hn::CappedTag<float, kGroups> dg;
    HWY_ALIGN int32_t group_of_lane[kLanes];
    for (size_t i = 0; i < kLanes; ++i) group_of_lane[i] = static_cast<int32_t>(i / (kGroup / 4));
    const auto spread = hn::SetTableIndices(df, group_of_lane);
    const auto add = [&](size_t at, V sum) HWY_ATTR {
      const auto dot = QuadDot<kBytes>(di, q + at * kGroup, x.q + at * kGroup, hn::Zero(di));
      const auto scale = hn::Mul(hn::LoadU(dg, scales + at), hn::LoadU(dg, x.scales + at));
      return hn::MulAdd(hn::ConvertTo(df, dot),
                        hn::TableLookupLanes(hn::ResizeBitCast(df, scale), spread), sum);
    };
    V sum0 = hn::Zero(df);
    V sum1 = hn::Zero(df);
    for (; g + 2 * kGroups <= groups; g += 2 * kGroups) {
      sum0 = add(g, sum0);
      sum1 = add(g + kGroups, sum1);
    }
    return hn::ReduceSum(df, hn::Add(sum0, sum1));
  }
#endif
}

template <Bytes kBytes, size_t kGroup>
void DotRows(const UnpackedRows& w, size_t n_rows, const QuantizedRow& x, float* out) {
  const hn::CappedTag<int32_t, kGroup / 4> di;
  const hn::RebindToFloat<decltype(di)> df;
  const size_t bytes = 4 * hn::Lanes(di);
  const size_t groups = w.groups();
  for (size_t i = 0; i < n_rows; ++i) {
    const uint8_t* q = w.q + i * w.cols;
    const float* scales = w.scales + i * groups;
    const int8_t* xq = x.q;
    const auto group_dot = [&](size_t g) HWY_ATTR {
      auto dot = hn::Zero(di);
      for (size_t k = 0; k < kGroup; k += bytes) {
        dot = QuadDot<kBytes>(di, q + g * kGroup + k, xq + g * kGroup + k, dot);
      }
      return hn::ConvertTo(df, dot);
    };
    auto sum0 = hn::Zero(df);
    auto sum1 = hn::Zero(df);
    size_t g = 0;
    const float sum = DotWideVectors<kBytes, kGroup>(q, scales, x, groups, g);
    for (; g + 2 <= groups; g += 2) {
      sum0 = hn::MulAdd(group_dot(g), hn::Set(df, scales[g] * x.scales[g]), sum0);
      sum1 = hn::MulAdd(group_dot(g + 1), hn::Set(df, scales[g + 1] * x.scales[g + 1]), sum1);
    }
    if (g < groups) sum0 = hn::MulAdd(group_dot(g), hn::Set(df, scales[g] * x.scales[g]), sum0);
    out[i] = sum + hn::ReduceSum(df, hn::Add(sum0, sum1));
    if (!kOffsetInDot<kBytes>) out[i] += DotGroups(w.offsets + i * groups, x.sums, groups);
  }
}

void DotRowsKernel(DType type, const UnpackedRows& w, size_t n_rows, const QuantizedRow& x,
                   float* out) {
  if (HasWideBytes(type)) {
    DotRows<Bytes::kWide, 32>(w, n_rows, x, out);
  } else if (w.group == 16) {
    DotRows<Bytes::kSmall, 16>(w, n_rows, x, out);
  } else {
    DotRows<Bytes::kSmall, 32>(w, n_rows, x, out);
  }
}

void PanelProductKernel(DType type, const UnpackedRows& w, size_t n_rows, const IntPanels& x,
                        float* out, size_t out_stride) {
  if (HasWideBytes(type)) {
    PanelProduct<Bytes::kWide, 32>(type, w, n_rows, x, out, out_stride);
  } else if (w.group == 16) {
    PanelProduct<Bytes::kSmall, 16>(type, w, n_rows, x, out, out_stride);
  } else {
    PanelProduct<Bytes::kSmall, 32>(type, w, n_rows, x, out, out_stride);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(PanelLanesKernel);
HWY_EXPORT(QuantizeRowKernel);
HWY_EXPORT(QuantizePanelKernel);
HWY_EXPORT(DotRowsKernel);
HWY_EXPORT(PanelProductKernel);

size_t QuantizedBytes(size_t cols, size_t group) {
  return cols + (2 * sizeof(float) + 2 * sizeof(int16_t)) * (cols / group);
}

QuantizedRow QuantizedAt(size_t cols, size_t group, size_t lanes, std::byte* place) {
  auto* scales = reinterpret_cast<float*>(place);
  float* sums = scales + cols / group * lanes;
  auto* pair_sums = reinterpret_cast<int16_t*>(sums + cols / group * lanes);
  return {scales, sums, pair_sums, reinterpret_cast<int8_t*>(pair_sums + 2 * cols / group * lanes)};
}

size_t IntPanelLanes() { return HWY_DYNAMIC_DISPATCH(PanelLanesKernel)(); }

void QuantizeRow(const float* x, size_t cols, size_t group, const QuantizedRow& out) {
  HWY_DYNAMIC_DISPATCH(QuantizeRowKernel)(x, cols, group, out);
}
void QuantizePanel(const float* x, size_t n, size_t cols, size_t group, const QuantizedRow& scratch,
                   const QuantizedRow& panel) {
  HWY_DYNAMIC_DISPATCH(QuantizePanelKernel)(x, n, cols, group, scratch, panel);
}
void IntDotRows(DType type, const UnpackedRows& w, size_t n_rows, const QuantizedRow& x,
                float* out) {
  HWY_DYNAMIC_DISPATCH(DotRowsKernel)(type, w, n_rows, x, out);
}
void IntPanelProduct(DType type, const UnpackedRows& w, size_t n_rows, const IntPanels& x,
                     float* out, size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(PanelProductKernel)(type, w, n_rows, x, out, out_stride);
}

}  // namespace spark
#endif  // HWY_ONCE
