// exp() and tanh() on f32 lanes, for softmax, gated activations and soft caps.
#if defined(SPARK_BACKEND_CPU_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_EXP_INL_H_
#undef SPARK_BACKEND_CPU_EXP_INL_H_
#else
#define SPARK_BACKEND_CPU_EXP_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x = 2^n · e^r, n = round(x / ln 2), |r| <= ln(2)/2. ln 2 is subtracted in two parts, the first
// with few enough bits that n times it is exact, so r carries one rounding. The polynomial
// 1 + r + r²·p(r), p of degree 5 (minimax, Cephes expf), is off by < 2e-8 of e^r; with roundings of
// the last three operations the result is within 2 ulp, 2.4e-7 relative.
// x below -87.3, where the result would be subnormal, gives 0; x above 88.3 counts as 88.3.
template <class DF, class V = hn::Vec<DF>>
HWY_INLINE V Exp(DF df, V x) {
  const hn::RebindToUnsigned<DF> du;
  const auto underflow = hn::Lt(x, hn::Set(df, -87.3f));
  x = hn::Min(x, hn::Set(df, 88.3f));

  // Floats from 2^23 to 2^24 are whole numbers, so this sum rounds, and n is in its lowest bits.
  const V whole = hn::Set(df, 0x1.8p23f);
  const V shifted = hn::MulAdd(x, hn::Set(df, 1.44269504f), whole);
  const V n = hn::Sub(shifted, whole);
  V r = hn::NegMulAdd(n, hn::Set(df, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(df, -2.12194440e-4f), r);

  // In pairs of terms, each by itself: a sum that waits for no other is ready sooner.
  const auto pair = [&](float of_r, float by_itself) HWY_ATTR {
    return hn::MulAdd(hn::Set(df, of_r), r, hn::Set(df, by_itself));
  };
  const V square = hn::Mul(r, r);
  V p = pair(1.9875691500e-4f, 1.3981999507e-3f);
  p = hn::MulAdd(p, square, pair(8.3334519073e-3f, 4.1665795894e-2f));
  p = hn::MulAdd(p, square, pair(1.6666665459e-1f, 5.0000001201e-1f));
  p = hn::MulAdd(p, square, hn::Add(r, hn::Set(df, 1.0f)));

  // n goes to the place of the exponent, with its bias; bits above it are lost.
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(du, shifted));
  const auto power = hn::Add(exponent, hn::Set(du, uint32_t{127} << 23));
  return hn::IfThenZeroElse(underflow, hn::Mul(p, hn::BitCast(df, power)));
}

// tanh z = (1 - e) / (1 + e), e = exp(-2|z|), with the sign of z. Below 1/4, where 1 - e cancels,
// by its series to z⁹, whose first missing term is below 4e-8 of z. Within 6e-7 relative.
template <class DF, class V = hn::Vec<DF>>
HWY_INLINE V Tanh(DF df, V z) {
  const V one = hn::Set(df, 1.0f);
  const V size = hn::Abs(z);
  const V e = Exp(df, hn::Mul(size, hn::Set(df, -2.0f)));
  const V large = hn::CopySign(hn::Div(hn::Sub(one, e), hn::Add(one, e)), z);

  const V square = hn::Mul(z, z);
  V p = hn::Set(df, 62.0f / 2835);
  p = hn::MulAdd(p, square, hn::Set(df, -17.0f / 315));
  p = hn::MulAdd(p, square, hn::Set(df, 2.0f / 15));
  p = hn::MulAdd(p, square, hn::Set(df, -1.0f / 3));
  const V small = hn::MulAdd(hn::Mul(p, square), z, z);
  return hn::IfThenElse(hn::Lt(size, hn::Set(df, 0.25f)), small, large);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_EXP_INL_H_
