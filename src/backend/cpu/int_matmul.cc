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

struct FourRows {
  const uint8_t* w0;
  const uint8_t* w1;
  const uint8_t* w2;
  const uint8_t* w3;
};

// Calls add(weights, activations, their sum) for columns k … k + 3 of four weight rows and one or
// two panels.
template <bool kTwo, class Add, class Sums>
HWY_INLINE void ForQuads(const FourRows& w, size_t k, const int8_t* a0, const int8_t* a1,
                         const Add& add, Sums& s00, Sums& s10, Sums& s20, Sums& s30, Sums& s01,
                         Sums& s11, Sums& s21, Sums& s31) {
  add(w.w0 + k, a0, s00);
  add(w.w1 + k, a0, s10);
  add(w.w2 + k, a0, s20);
  add(w.w3 + k, a0, s30);
  if constexpr (kTwo) {
    add(w.w0 + k, a1, s01);
    add(w.w1 + k, a1, s11);
    add(w.w2 + k, a1, s21);
    add(w.w3 + k, a1, s31);
  }
}

// Integer sums of a group, columns k … k + kGroup - 1, added to s<row><panel>.
template <size_t kBits, size_t kGroup, bool kTwo, class DI, class Sums = IntSums<DI>>
HWY_INLINE void AddGroup(DI di, const FourRows& rows, size_t k, const QuantizedRow& x0,
                         const QuantizedRow& x1, Sums& s00, Sums& s10, Sums& s20, Sums& s30,
                         Sums& s01, Sums& s11, Sums& s21, Sums& s31) {
  const size_t lanes = hn::Lanes(di);
  const size_t end = k + kGroup;
  if constexpr (kQuadsInWords < kBits >> 1) {
    const hn::RepartitionToNarrow<DI> d16;
    constexpr size_t kColumns = HWY_MIN(4 * kQuadsInWords<kBits>, kGroup);  // of sums in words
    do {
      auto p00 = ToSums(d16, hn::Zero(d16)), p10 = p00, p20 = p00, p30 = p00;
      auto p01 = p00, p11 = p00, p21 = p00, p31 = p00;
      HWY_UNROLL(2)  // all of them would keep sums in memory
      for (size_t i = 0; i < kColumns; i += 4, k += 4) {
        ForQuads<kTwo>(
            rows, k, x0.q + k * lanes, x1.q + k * lanes,
            [&](const uint8_t* weights, const int8_t* x, auto& sums)
                SPARK_INLINE_LAMBDA { AddPairDotsBroadcast(di, weights, x, sums); },
            p00, p10, p20, p30, p01, p11, p21, p31);
      }
      AddWords(di, p00, s00);
      AddWords(di, p10, s10);
      AddWords(di, p20, s20);
      AddWords(di, p30, s30);
      if constexpr (!kTwo) continue;
      AddWords(di, p01, s01);
      AddWords(di, p11, s11);
      AddWords(di, p21, s21);
      AddWords(di, p31, s31);
    } while (kColumns < kGroup && k < end);
  } else {
    constexpr Bytes kBytes = kBits == 8 ? Bytes::kWide : Bytes::kSmall;
    for (; k < end; k += 4) {
      ForQuads<kTwo>(
          rows, k, x0.q + k * lanes, x1.q + k * lanes,
          [&](const uint8_t* weights, const int8_t* x, auto& sums)
              SPARK_INLINE_LAMBDA { AddQuadDotBroadcast<kBytes>(di, weights, x, sums); },
          s00, s10, s20, s30, s01, s11, s21, s31);
    }
  }
}

// Four weight rows times one or two panels. Weight rows behind n_rows are read but not used: the
// buffer has them.
template <size_t kBits, size_t kGroup, bool kTwo>
HWY_INLINE void PanelBlock(const UnpackedRows& w, size_t row, const QuantizedRow& x0,
                           const QuantizedRow& x1, float* result) {
  constexpr Bytes kBytes = kBits == 8 ? Bytes::kWide : Bytes::kSmall;
  const hn::RebindToSigned<FloatTag> di;
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t groups = w.groups();
  const uint8_t* w0 = w.q + row * w.cols;
  const FourRows rows{w0, w0 + w.cols, w0 + 2 * w.cols, w0 + 3 * w.cols};
  // f<row><panel>: sums in f32, s<row><panel>: those of a group in integers. Named, not arrays:
  // vectors of some targets have no size.
  FloatVec f00 = hn::Zero(df), f10 = f00, f20 = f00, f30 = f00;
  FloatVec f01 = f00, f11 = f00, f21 = f00, f31 = f00;
  // First what offsets give: with integers beside them, sums in f32 would not stay in registers.
  if constexpr (!kOffsetInDot<kBytes>) {
    const float* offsets = w.offsets + row * groups;
    for (size_t g = 0; g < groups; ++g) {
      const FloatVec sum0 = hn::LoadU(df, x0.sums + g * lanes);
      const FloatVec sum1 = hn::LoadU(df, x1.sums + g * lanes);
      const auto add = [&](size_t r, FloatVec& a, FloatVec& b) SPARK_INLINE_LAMBDA {
        const FloatVec offset = hn::Set(df, offsets[r * groups + g]);
        a = hn::MulAdd(offset, sum0, a);
        if constexpr (kTwo) b = hn::MulAdd(offset, sum1, b);
      };
      add(0, f00, f01);
      add(1, f10, f11);
      add(2, f20, f21);
      add(3, f30, f31);
    }
  }
  const float* scales = w.scales + row * groups;
  for (size_t g = 0; g < groups; ++g) {
    auto s00 = ToSums(di, hn::Zero(di)), s10 = s00, s20 = s00, s30 = s00;
    auto s01 = s00, s11 = s00, s21 = s00, s31 = s00;
    AddGroup<kBits, kGroup, kTwo>(di, rows, g * kGroup, x0, x1, s00, s10, s20, s30, s01, s11, s21,
                                  s31);
    const FloatVec scale0 = hn::LoadU(df, x0.scales + g * lanes);
    const FloatVec scale1 = hn::LoadU(df, x1.scales + g * lanes);
    using Sums = IntSums<decltype(di)>;
    const auto add = [&](size_t r, Sums s0, FloatVec& a, Sums s1, FloatVec& b) SPARK_INLINE_LAMBDA {
      const FloatVec scale = hn::Set(df, scales[r * groups + g]);
      a = hn::MulAdd(hn::Mul(hn::ConvertTo(df, FromSums(di, s0)), scale0), scale, a);
      if constexpr (!kTwo) return;
      b = hn::MulAdd(hn::Mul(hn::ConvertTo(df, FromSums(di, s1)), scale1), scale, b);
    };
    add(0, s00, f00, s01, f01);
    add(1, s10, f10, s11, f11);
    add(2, s20, f20, s21, f21);
    add(3, s30, f30, s31, f31);
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

template <size_t kBits, size_t kGroup>
void PanelProduct(const UnpackedRows& w, size_t n_rows, const IntPanels& x, float* out,
                  size_t out_stride) {
  const size_t lanes = hn::Lanes(FloatTag());
  // Of 16 weight rows at a time: four blocks of [2 * lanes activation rows, 4]. An output row gets
  // a line of memory at once: rows may lie so that lines push each other out of the cache.
  constexpr size_t kTileRows = 16;
  const size_t block = 2 * lanes * 4;
  float results[kTileRows * 2 * 16];
  QuantizedRow x0 = x.first;  // g++ 12 dies of `m / lanes` here, on SVE
  for (size_t m = 0; m < x.n; m += 2 * lanes, x0 = Shift(x0, 2 * x.panel_bytes)) {
    const bool two = m + lanes < x.n;
    const QuantizedRow x1 = two ? Shift(x0, x.panel_bytes) : x0;
    const size_t n = std::min(2 * lanes, x.n - m);
    for (size_t row = 0; row < n_rows; row += kTileRows) {
      const size_t rows = std::min(kTileRows, n_rows - row);
      for (size_t r = 0; r < rows; r += 4) {
        if (two) {
          PanelBlock<kBits, kGroup, true>(w, row + r, x0, x1, results + r / 4 * block);
        } else {
          PanelBlock<kBits, kGroup, false>(w, row + r, x0, x1, results + r / 4 * block);
        }
      }
      for (size_t i = 0; i < n; ++i) {
        float* to = out + (m + i) * out_stride + row;
        const float* from = results + 4 * i;
        size_t r = 0;
        for (; r + 4 <= rows; r += 4, from += block) std::memcpy(to + r, from, 4 * sizeof(float));
        if (r < rows) std::memcpy(to + r, from, (rows - r) * sizeof(float));
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
  const size_t bits = ByteBits(type);
  if (bits == 8) return PanelProduct<8, 32>(w, n_rows, x, out, out_stride);
  if constexpr (kQuadsInWords < 4 >> 1) {
    if (bits == 5) return PanelProduct<5, 32>(w, n_rows, x, out, out_stride);
    if (bits == 4 && w.group == 16) return PanelProduct<4, 16>(w, n_rows, x, out, out_stride);
    if (bits == 4) return PanelProduct<4, 32>(w, n_rows, x, out, out_stride);
  } else if (w.group == 32) {
    return PanelProduct<6, 32>(w, n_rows, x, out, out_stride);
  }
  PanelProduct<6, 16>(w, n_rows, x, out, out_stride);
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
