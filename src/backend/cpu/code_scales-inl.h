// Scales of q8_0 values for sums of their codes in integers (code_values-inl.h,
// code_words-inl.h).
#if defined(SPARK_BACKEND_CPU_CODE_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_CODE_SCALES_INL_H_
#undef SPARK_BACKEND_CPU_CODE_SCALES_INL_H_
#else
#define SPARK_BACKEND_CPU_CODE_SCALES_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "backend/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Scales as shares of the largest one, times `whole`, for tokens before `end`; returns what a unit
// of them is worth.
HWY_INLINE float ShareScales(FloatVec most, float whole, size_t end, float* scales) {
  const FloatTag df;
  const float largest = hn::ReduceMax(df, most);
  const FloatVec inverse = hn::Set(df, largest > 0 ? whole / largest : 0.0f);
  for (size_t t = 0; t < end; t += hn::Lanes(df)) {
    hn::Store(hn::Mul(hn::Load(df, scales + t), inverse), df, scales + t);
  }
  return largest * (1 / whole);
}

// The same of two groups, whose f16 scales are the lower and the upper half of what fetch(t) finds:
// 32 bits for each token of a vector from the t-th on. 0 behind the n-th up to `end`, a multiple of
// the lanes of a vector.
template <class Fetch>
HWY_INLINE void ShareScalePairs(size_t n, size_t end, float whole, float* scales0, float* scales1,
                                float* steps, const Fetch& fetch) {
  const FloatTag df;
  const hn::Rebind<hwy::float16_t, FloatTag> dh;
  const hn::Rebind<uint16_t, FloatTag> d16;
  const auto halves = [&](auto words) SPARK_INLINE_LAMBDA {
    return hn::PromoteTo(df, hn::BitCast(dh, hn::TruncateTo(d16, words)));
  };
  FloatVec most0 = hn::Zero(df), most1 = hn::Zero(df);
  const auto take = [&](size_t t, const auto& seen) SPARK_INLINE_LAMBDA {
    const auto found = fetch(t);
    const FloatVec s0 = seen(halves(found)), s1 = seen(halves(hn::ShiftRight<16>(found)));
    most0 = hn::Max(most0, s0);
    most1 = hn::Max(most1, s1);
    hn::Store(s0, df, scales0 + t);
    hn::Store(s1, df, scales1 + t);
  };
  const size_t lanes = hn::Lanes(df);
  size_t t = 0;
  for (; t + lanes <= n; t += lanes) take(t, [](FloatVec s) SPARK_INLINE_LAMBDA { return s; });
  for (; t < end; t += lanes) {
    const auto valid = hn::FirstN(df, n - HWY_MIN(t, n));
    take(t, [&](FloatVec s) SPARK_INLINE_LAMBDA { return hn::IfThenElseZero(valid, s); });
  }
  steps[0] = ShareScales(most0, whole, end, scales0);
  steps[1] = ShareScales(most1, whole, end, scales1);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_CODE_SCALES_INL_H_
