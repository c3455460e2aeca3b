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

#include "backend/cpu/int_matmul.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
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

// Integer sums of a group, columns k … k + kGroup - 1, added to s<row><panel>.
template <size_t kBits, size_t kGroup, bool kTwo, class DI, class Sums = IntSums<DI>>
HWY_INLINE void AddGroup(DI di, const FourRows& rows, size_t k, const QuantizedRow& x0,
                         const QuantizedRow& x1, Sums& s00, Sums& s10, Sums& s20, Sums& s30,
                         Sums& s01, Sums& s11, Sums& s21, Sums& s31) {
  const size_t lanes = hn::Lanes(di);
  const size_t end = k + kGroup;
  constexpr size_t kQuads = kQuadsInWords<kBits>;
  if constexpr (kQuads > 1) {
    const hn::RepartitionToNarrow<DI> d16;
    constexpr size_t kColumns = HWY_MIN(4 * kQuads, kGroup);  // of sums in words
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
// buffer has them. Inlined, g++ 12 dies of it on SVE.
template <size_t kBits, size_t kGroup, bool kTwo>
HWY_NOINLINE void PanelBlock(const UnpackedRows& w, size_t row, const QuantizedRow& x0,
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

inline QuantizedRow Shift(const QuantizedRow& row, size_t bytes) {
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
  constexpr size_t kBlocks = 4;
  float results[kBlocks][4 * 2 * 16];
  QuantizedRow x0 = x.first;  // g++ 12 dies of `m / lanes` here, on SVE
  for (size_t m = 0; m < x.n; m += 2 * lanes, x0 = Shift(x0, 2 * x.panel_bytes)) {
    const bool two = m + lanes < x.n;
    const QuantizedRow x1 = two ? Shift(x0, x.panel_bytes) : x0;
    const size_t n = std::min(2 * lanes, x.n - m);
    for (size_t row = 0; row < n_rows; row += 4 * kBlocks) {
      const size_t rows = std::min(4 * kBlocks, n_rows - row);
      for (size_t r = 0; r < rows; r += 4) {
        if (two) {
          PanelBlock<kBits, kGroup, true>(w, row + r, x0, x1, results[r / 4]);
        } else {
          PanelBlock<kBits, kGroup, false>(w, row + r, x0, x1, results[r / 4]);
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
