#include "backend/cpu/int_matmul.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/int_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/lanes-inl.h"
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

// Four weight rows times one or two panels. Weight rows behind n_rows are read but not used: the
// buffer has them.
template <Bytes kBytes, bool kTwo>
HWY_INLINE void PanelBlock(const UnpackedRows& w, size_t row, const QuantizedRow& x0,
                           const QuantizedRow& x1, float* result) {
  const hn::RebindToSigned<FloatTag> di;
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t groups = w.groups();
  const uint8_t* w0 = w.q + row * w.cols;
  const uint8_t* w1 = w0 + w.cols;
  const uint8_t* w2 = w1 + w.cols;
  const uint8_t* w3 = w2 + w.cols;
  const float* scales = w.scales + row * groups;
  const float* offsets = w.offsets + row * groups;
  // f<row><panel>: sums in f32, s<row><panel>: those of a group in integers. Named, not arrays:
  // vectors of some targets have no size.
  FloatVec f00 = hn::Zero(df), f10 = f00, f20 = f00, f30 = f00;
  FloatVec f01 = f00, f11 = f00, f21 = f00, f31 = f00;
  for (size_t g = 0; g < groups; ++g) {
    auto s00 = ToSums(di, hn::Zero(di)), s10 = s00, s20 = s00, s30 = s00;
    auto s01 = s00, s11 = s00, s21 = s00, s31 = s00;
    for (size_t k = g * w.group; k < (g + 1) * w.group; k += 4) {
      const int8_t* a0 = x0.q + k * lanes;
      AddQuadDotBroadcast<kBytes>(di, w0 + k, a0, s00);
      AddQuadDotBroadcast<kBytes>(di, w1 + k, a0, s10);
      AddQuadDotBroadcast<kBytes>(di, w2 + k, a0, s20);
      AddQuadDotBroadcast<kBytes>(di, w3 + k, a0, s30);
      if constexpr (kTwo) {
        const int8_t* a1 = x1.q + k * lanes;
        AddQuadDotBroadcast<kBytes>(di, w0 + k, a1, s01);
        AddQuadDotBroadcast<kBytes>(di, w1 + k, a1, s11);
        AddQuadDotBroadcast<kBytes>(di, w2 + k, a1, s21);
        AddQuadDotBroadcast<kBytes>(di, w3 + k, a1, s31);
      }
    }
    const auto add = [&](FloatVec f, IntSums<decltype(di)> s, size_t r, FloatVec scale,
                         FloatVec sum) HWY_ATTR {
      if (!kOffsetInDot<kBytes>) f = hn::MulAdd(hn::Set(df, offsets[r * groups + g]), sum, f);
      const FloatVec product = hn::Mul(hn::ConvertTo(df, FromSums(di, s)), scale);
      return hn::MulAdd(hn::Set(df, scales[r * groups + g]), product, f);
    };
    const FloatVec scale0 = hn::LoadU(df, x0.scales + g * lanes);
    const FloatVec sum0 = hn::LoadU(df, x0.sums + g * lanes);
    f00 = add(f00, s00, 0, scale0, sum0);
    f10 = add(f10, s10, 1, scale0, sum0);
    f20 = add(f20, s20, 2, scale0, sum0);
    f30 = add(f30, s30, 3, scale0, sum0);
    if constexpr (kTwo) {
      const FloatVec scale1 = hn::LoadU(df, x1.scales + g * lanes);
      const FloatVec sum1 = hn::LoadU(df, x1.sums + g * lanes);
      f01 = add(f01, s01, 0, scale1, sum1);
      f11 = add(f11, s11, 1, scale1, sum1);
      f21 = add(f21, s21, 2, scale1, sum1);
      f31 = add(f31, s31, 3, scale1, sum1);
    }
  }
  hn::StoreInterleaved4(f00, f10, f20, f30, df, result);
  if constexpr (kTwo) hn::StoreInterleaved4(f01, f11, f21, f31, df, result + 4 * lanes);
}

QuantizedRow Shift(const QuantizedRow& row, size_t bytes) {
  const auto shift = [&](auto* p) {
    return reinterpret_cast<decltype(p)>(reinterpret_cast<std::byte*>(p) + bytes);
  };
  return {shift(row.scales), shift(row.sums), shift(row.q)};
}

template <Bytes kBytes>
void PanelProduct(const UnpackedRows& w, size_t n_rows, const IntPanels& x, float* out,
                  size_t out_stride) {
  const size_t lanes = hn::Lanes(FloatTag());
  float result[4 * 2 * 16];   // [2 * lanes activation rows, 4 weight rows]
  QuantizedRow x0 = x.first;  // g++ 12 dies of `m / lanes` here, on SVE
  for (size_t m = 0; m < x.n; m += 2 * lanes, x0 = Shift(x0, 2 * x.panel_bytes)) {
    const bool two = m + lanes < x.n;
    const QuantizedRow x1 = two ? Shift(x0, x.panel_bytes) : x0;
    const size_t n = std::min(2 * lanes, x.n - m);
    for (size_t row = 0; row < n_rows; row += 4) {
      if (two) {
        PanelBlock<kBytes, true>(w, row, x0, x1, result);
      } else {
        PanelBlock<kBytes, false>(w, row, x0, x1, result);
      }
      const size_t bytes = std::min<size_t>(4, n_rows - row) * sizeof(float);
      for (size_t i = 0; i < n; ++i) {
        std::memcpy(out + (m + i) * out_stride + row, result + 4 * i, bytes);
      }
    }
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
    PanelProduct<Bytes::kWide>(w, n_rows, x, out, out_stride);
  } else {
    PanelProduct<Bytes::kSmall>(w, n_rows, x, out, out_stride);
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
  return cols + 2 * sizeof(float) * (cols / group);
}

QuantizedRow QuantizedAt(size_t cols, size_t group, size_t lanes, std::byte* place) {
  auto* scales = reinterpret_cast<float*>(place);
  float* sums = scales + cols / group * lanes;
  return {scales, sums, reinterpret_cast<int8_t*>(sums + cols / group * lanes)};
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
