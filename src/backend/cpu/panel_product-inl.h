// Products of unpacked weight rows with panels of many activation rows (int_matmul.h).
#if defined(SPARK_BACKEND_CPU_PANEL_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_PANEL_PRODUCT_INL_H_
#undef SPARK_BACKEND_CPU_PANEL_PRODUCT_INL_H_
#else
#define SPARK_BACKEND_CPU_PANEL_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "backend/cpu/int_matmul.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

// What a group of a lane's products is summed in: words, which become 32-bit integers at the end,
// or these at once. Words hold 32 weights below 16, 32 of -16 … 15, and 16 of -32 … 31.
template <Bytes kBytes>
inline constexpr bool kGroupInWords = kSumsInWords ? kBytes == Bytes::kSmall : false;

template <Bytes kBytes, class DI>
using GroupSumTag = std::conditional_t<kGroupInWords<kBytes>, hn::RepartitionToNarrow<DI>, DI>;

// The sums of group g's products before there is one, of a panel.
template <Bytes kBytes, class DI, class DS = GroupSumTag<kBytes, DI>>
HWY_INLINE IntSums<DS> StartGroup(DI di, const QuantizedRow& x, size_t g, int16_t centre) {
  const int16_t* pair_sums = x.pair_sums + 2 * hn::Lanes(di) * g;
  if constexpr (kOffsetInDot<kBytes>) {
    return ToSums(di, hn::Zero(di));
  } else if constexpr (kGroupInWords<kBytes>) {
    return ToSums(DS(), StartWords(DS(), pair_sums, centre));
  } else {
    return ToSums(di, StartSums(di, pair_sums, centre));
  }
}

template <Bytes kBytes, class DI>
HWY_INLINE void AddProducts(DI di, const uint8_t* weights, const int8_t* x,
                            IntSums<GroupSumTag<kBytes, DI>>& sums) {
  if constexpr (kGroupInWords<kBytes>) {
    AddPairDotsBroadcast(di, weights, x, sums);
  } else {
    AddQuadDotBroadcast<kBytes>(di, weights, x, sums);
  }
}

template <Bytes kBytes, class DI>
HWY_INLINE FloatVec GroupSum(DI di, IntSums<GroupSumTag<kBytes, DI>> sums) {
  if constexpr (kGroupInWords<kBytes>) {
    const hn::RepartitionToNarrow<DI> d16;
    const auto one = hn::Set(d16, int16_t{1});
    return hn::ConvertTo(FloatTag(), hn::WidenMulPairwiseAdd(di, FromSums(d16, sums), one));
  } else {
    return hn::ConvertTo(FloatTag(), FromSums(di, sums));
  }
}

// The centre that sums of a type's products begin with: that of its offsets, or one with which they
// fit in words.
constexpr int SumCentre(DType type) {
  return type == DType::kQ5_1 || type == DType::kQ5_K ? 16 : Centre(type);
}

// f<row><panel> += what offsets give of four weight rows and one or two panels; offset(i) is that
// of scale i of the first row, those of others follow.
template <bool kTwo, class Offset>
HWY_INLINE void AddOffsets(size_t groups, const Offset& offset, const QuantizedRow& x0,
                           const QuantizedRow& x1, FloatVec& f00, FloatVec& f10, FloatVec& f20,
                           FloatVec& f30, FloatVec& f01, FloatVec& f11, FloatVec& f21,
                           FloatVec& f31) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  for (size_t g = 0; g < groups; ++g) {
    const FloatVec sum0 = hn::LoadU(df, x0.sums + g * lanes);
    const FloatVec sum1 = hn::LoadU(df, x1.sums + g * lanes);
    const auto add = [&](size_t r, FloatVec& a, FloatVec& b) SPARK_INLINE_LAMBDA {
      const FloatVec factor = hn::Set(df, offset(r * groups + g));
      a = hn::MulAdd(factor, sum0, a);
      if constexpr (kTwo) b = hn::MulAdd(factor, sum1, b);
    };
    add(0, f00, f01);
    add(1, f10, f11);
    add(2, f20, f21);
    add(3, f30, f31);
  }
}

// Four weight rows times one or two panels. Weight rows behind n_rows are read but not used: the
// buffer has them. Inlined, g++ 12 dies of it on SVE.
template <Bytes kBytes, size_t kGroup, bool kTwo>
HWY_NOINLINE void PanelBlock(DType type, const UnpackedRows& w, size_t row, const QuantizedRow& x0,
                             const QuantizedRow& x1, float* result) {
  const hn::RebindToSigned<FloatTag> di;
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t groups = w.groups();
  const uint8_t* w0 = w.q + row * w.cols;
  const FourRows rows{w0, w0 + w.cols, w0 + 2 * w.cols, w0 + 3 * w.cols};
  const float* scales = w.scales + row * groups;
  const auto centre = static_cast<int16_t>(SumCentre(type));
  // f<row><panel>: sums in f32, s<row><panel>: those of a group in integers. Named, not arrays:
  // vectors of some targets have no size.
  FloatVec f00 = hn::Zero(df), f10 = f00, f20 = f00, f30 = f00;
  FloatVec f01 = f00, f11 = f00, f21 = f00, f31 = f00;
  // First what offsets give: with integers beside them, sums in f32 would not stay in registers.
  if (Centre(type) == 0) {
    const float* offsets = w.offsets + row * groups;
    const auto add = [&](const auto& offset) SPARK_INLINE_LAMBDA {
      AddOffsets<kTwo>(groups, offset, x0, x1, f00, f10, f20, f30, f01, f11, f21, f31);
    };
    if (centre == 0) {
      add([&](size_t i) { return offsets[i]; });
    } else {
      const auto shift = static_cast<float>(centre);
      add([&](size_t i) { return offsets[i] + shift * scales[i]; });
    }
  }
  for (size_t g = 0; g < groups; ++g) {
    auto s00 = StartGroup<kBytes>(di, x0, g, centre), s10 = s00, s20 = s00, s30 = s00;
    auto s01 = StartGroup<kBytes>(di, x1, g, centre), s11 = s01, s21 = s01, s31 = s01;
    const FourRows w_g{rows.w0 + g * kGroup, rows.w1 + g * kGroup, rows.w2 + g * kGroup,
                       rows.w3 + g * kGroup};
    const int8_t* q0 = x0.q + g * kGroup * lanes;
    const int8_t* q1 = x1.q + g * kGroup * lanes;
    HWY_UNROLL(2)  // all of them would keep sums in memory
    for (size_t k = 0; k < kGroup; k += 4) {
      ForQuads<kTwo>(
          w_g, k, q0 + k * lanes, q1 + k * lanes,
          [&](const uint8_t* weights, const int8_t* x, auto& sums)
              SPARK_INLINE_LAMBDA { AddProducts<kBytes>(di, weights, x, sums); },
          s00, s10, s20, s30, s01, s11, s21, s31);
    }
    const FloatVec scale0 = hn::LoadU(df, x0.scales + g * lanes);
    const FloatVec scale1 = hn::LoadU(df, x1.scales + g * lanes);
    const auto add = [&](size_t r, auto s0, FloatVec& a, auto s1, FloatVec& b) SPARK_INLINE_LAMBDA {
      const FloatVec scale = hn::Set(df, scales[r * groups + g]);
      a = hn::MulAdd(hn::Mul(GroupSum<kBytes>(di, s0), scale0), scale, a);
      if constexpr (kTwo) b = hn::MulAdd(hn::Mul(GroupSum<kBytes>(di, s1), scale1), scale, b);
    };
    add(0, s00, f00, s01, f01);
    add(1, s10, f10, s11, f11);
    add(2, s20, f20, s21, f21);
    add(3, s30, f30, s31, f31);
  }
  hn::StoreInterleaved4(f00, f10, f20, f30, df, result);
  if constexpr (kTwo) hn::StoreInterleaved4(f01, f11, f21, f31, df, result + 4 * lanes);
}

inline QuantizedRow Shift(const QuantizedRow& row, size_t bytes) {
  const auto shift = [&](auto* p) {
    return reinterpret_cast<decltype(p)>(reinterpret_cast<std::byte*>(p) + bytes);
  };
  return {shift(row.scales), shift(row.sums), shift(row.pair_sums), shift(row.q)};
}

template <Bytes kBytes, size_t kGroup>
void PanelProduct(DType type, const UnpackedRows& w, size_t n_rows, const IntPanels& x, float* out,
                  size_t out_stride) {
  const size_t lanes = hn::Lanes(FloatTag());
  // Of 16 weight rows at a time: four blocks of [2 * lanes activation rows, 4]. An output row gets
  // a line of memory at once: rows may lie so that lines push each other out of the cache.
  constexpr size_t kBlocks = 4;
  float results[kBlocks][4 * 2 * 16];
  QuantizedRow x0 = x.first;  // g++ 12 dies of `m / lanes` here, on SVE
  for (size_t m = 0; m < x.n; m += 2 * lanes, x0 = Shift(x0, 2 * x.panel_bytes)) {
    const bool two = m + lanes < x.n;
    const QuantizedRow x1 = two ? Shift(x0, x.panel_bytes) : x0;
    const size_t n = std::min(2 * lanes, x.n - m);
    for (size_t row = 0; row < n_rows; row += 4 * kBlocks) {
      const size_t rows = std::min(4 * kBlocks, n_rows - row);
      // What is written will be there by then.
      for (size_t i = 0; i < n; ++i) hwy::Prefetch(out + (m + i) * out_stride + row);
      for (size_t r = 0; r < rows; r += 4) {
        if (two) {
          PanelBlock<kBytes, kGroup, true>(type, w, row + r, x0, x1, results[r / 4]);
        } else {
          PanelBlock<kBytes, kGroup, false>(type, w, row + r, x0, x1, results[r / 4]);
        }
      }
      for (size_t i = 0; i < n; ++i) {
        float* to = out + (m + i) * out_stride + row;
        size_t r = 0;
        for (; r + 4 <= rows; r += 4) {
          std::memcpy(to + r, results[r / 4] + 4 * i, 4 * sizeof(float));
        }
        if (r < rows) std::memcpy(to + r, results[r / 4] + 4 * i, (rows - r) * sizeof(float));
      }
    }
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_PANEL_PRODUCT_INL_H_
