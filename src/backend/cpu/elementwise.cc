#include "backend/cpu/elementwise.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/elementwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/exp-inl.h"
#include "backend/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float SumOfSquares(const float* x, size_t n) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  FloatVec sum0 = hn::Zero(df);
  FloatVec sum1 = hn::Zero(df);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const FloatVec a = hn::LoadU(df, x + i);
    const FloatVec b = hn::LoadU(df, x + i + lanes);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  for (; i < n; i += lanes) {
    const FloatVec a = hn::LoadN(df, x + i, n - i);
    sum0 = hn::MulAdd(a, a, sum0);
  }
  return hn::ReduceSum(df, hn::Add(sum0, sum1));
}

void NormRowKernel(const float* x, const float* weight, size_t n, float eps, float* out) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const float mean = SumOfSquares(x, n) / static_cast<float>(n);
  const FloatVec scale = hn::Set(df, 1.0f / std::sqrt(mean + eps));
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const FloatVec y = hn::Mul(hn::LoadU(df, x + i), scale);
    hn::StoreU(hn::Mul(y, hn::LoadU(df, weight + i)), df, out + i);
  }
  if (i < n) {
    const FloatVec y = hn::Mul(hn::LoadN(df, x + i, n - i), scale);
    hn::StoreN(hn::Mul(y, hn::LoadN(df, weight + i, n - i)), df, out + i, n - i);
  }
}

void RotateHalvesKernel(float* x, float* y, const float* cos, const float* sin, size_t n_pairs) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  for (size_t i = 0; i < n_pairs; i += lanes) {
    const size_t rest = n_pairs - i;
    const FloatVec a = hn::LoadN(df, x + i, rest);
    const FloatVec b = hn::LoadN(df, y + i, rest);
    const FloatVec c = hn::LoadN(df, cos + i, rest);
    const FloatVec s = hn::LoadN(df, sin + i, rest);
    StoreUpTo(df, hn::MulSub(a, c, hn::Mul(b, s)), x + i, rest);
    StoreUpTo(df, hn::MulAdd(a, s, hn::Mul(b, c)), y + i, rest);
  }
}

void RotatePairsKernel(float* x, const float* cos, const float* sin, size_t n_pairs) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n_pairs; i += lanes) {
    FloatVec a, b;
    hn::LoadInterleaved2(df, x + 2 * i, a, b);
    const FloatVec c = hn::LoadU(df, cos + i);
    const FloatVec s = hn::LoadU(df, sin + i);
    hn::StoreInterleaved2(hn::MulSub(a, c, hn::Mul(b, s)), hn::MulAdd(a, s, hn::Mul(b, c)), df,
                          x + 2 * i);
  }
  for (; i < n_pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}

// x = f(x), f from lanes to lanes.
template <class F>
HWY_INLINE void MapRow(float* x, size_t n, const F& f) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(df, x + i)), df, x + i);
  if (i < n) hn::StoreN(f(hn::LoadN(df, x + i, n - i)), df, x + i, n - i);
}

// x = f(x, y)
template <class F>
HWY_INLINE void MapRows(float* x, const float* y, size_t n, const F& f) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(hn::LoadU(df, x + i), hn::LoadU(df, y + i)), df, x + i);
  }
  if (i < n) {
    const FloatVec rest = hn::LoadN(df, x + i, n - i);
    hn::StoreN(f(rest, hn::LoadN(df, y + i, n - i)), df, x + i, n - i);
  }
}

void SwiGluKernel(float* gate, const float* up, size_t n) {
  const FloatTag df;
  const FloatVec one = hn::Set(df, 1.0f);
  MapRows(gate, up, n, [&](FloatVec g, FloatVec u) HWY_ATTR {
    return hn::Mul(hn::Div(g, hn::Add(one, Exp(df, hn::Neg(g)))), u);
  });
}

// (1 + tanh t) / 2 = 1 / (1 + exp(-2t))
void GeGluKernel(float* gate, const float* up, size_t n) {
  const FloatTag df;
  const FloatVec one = hn::Set(df, 1.0f);
  const FloatVec minus_two_root = hn::Set(df, -1.5957691216f);  // -2 sqrt(2/π)
  const FloatVec cubic = hn::Set(df, 0.044715f);
  MapRows(gate, up, n, [&](FloatVec g, FloatVec u) HWY_ATTR {
    const FloatVec t = hn::MulAdd(hn::Mul(cubic, hn::Mul(g, g)), g, g);
    return hn::Mul(hn::Div(g, hn::Add(one, Exp(df, hn::Mul(minus_two_root, t)))), u);
  });
}

void ScaleKernel(float* x, float factor, size_t n) {
  const FloatTag df;
  const FloatVec factors = hn::Set(df, factor);
  MapRow(x, n, [&](FloatVec v) HWY_ATTR { return hn::Mul(v, factors); });
}

void SoftCapKernel(float* x, float cap, size_t n) {
  const FloatTag df;
  const FloatVec caps = hn::Set(df, cap);
  MapRow(x, n, [&](FloatVec v) HWY_ATTR { return hn::Mul(caps, Tanh(df, hn::Div(v, caps))); });
}

void AddKernel(float* x, const float* y, size_t n) {
  MapRows(x, y, n, [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Add(a, b); });
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(NormRowKernel);
HWY_EXPORT(RotateHalvesKernel);
HWY_EXPORT(RotatePairsKernel);
HWY_EXPORT(SwiGluKernel);
HWY_EXPORT(GeGluKernel);
HWY_EXPORT(ScaleKernel);
HWY_EXPORT(SoftCapKernel);
HWY_EXPORT(AddKernel);

void NormRow(const float* x, const float* weight, size_t n, float eps, float* out) {
  HWY_DYNAMIC_DISPATCH(NormRowKernel)(x, weight, n, eps, out);
}
void RotateHalves(float* x, float* y, const float* cos, const float* sin, size_t n_pairs) {
  HWY_DYNAMIC_DISPATCH(RotateHalvesKernel)(x, y, cos, sin, n_pairs);
}
void RotatePairs(float* x, const float* cos, const float* sin, size_t n_pairs) {
  HWY_DYNAMIC_DISPATCH(RotatePairsKernel)(x, cos, sin, n_pairs);
}
void SwiGluRow(float* gate, const float* up, size_t n) {
  HWY_DYNAMIC_DISPATCH(SwiGluKernel)(gate, up, n);
}
void GeGluRow(float* gate, const float* up, size_t n) {
  HWY_DYNAMIC_DISPATCH(GeGluKernel)(gate, up, n);
}
void ScaleRow(float* x, float factor, size_t n) { HWY_DYNAMIC_DISPATCH(ScaleKernel)(x, factor, n); }
void SoftCapRow(float* x, float cap, size_t n) { HWY_DYNAMIC_DISPATCH(SoftCapKernel)(x, cap, n); }
void AddRow(float* x, const float* y, size_t n) { HWY_DYNAMIC_DISPATCH(AddKernel)(x, y, n); }

}  // namespace spark
#endif  // HWY_ONCE
