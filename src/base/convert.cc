#include "base/convert.h"

#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "base/convert.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// `Half` is hwy::float16_t or hwy::bfloat16_t. Rows of a file have no alignment, so lanes go
// through unaligned loads of the raw 16 bits.
template <class Half>
void HalvesFromFloats(const float* in, size_t n, uint16_t* out) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<Half, decltype(df)> dh;
  const hn::Rebind<uint16_t, decltype(df)> du;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::BitCast(du, hn::DemoteTo(dh, hn::LoadU(df, in + i))), du, out + i);
  }
  if (i < n) {
    const auto rest = hn::LoadN(df, in + i, n - i);
    hn::StoreN(hn::BitCast(du, hn::DemoteTo(dh, rest)), du, out + i, n - i);
  }
}

template <class Half>
void FloatsFromHalves(const uint16_t* in, size_t n, float* out) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<Half, decltype(df)> dh;
  const hn::Rebind<uint16_t, decltype(df)> du;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::PromoteTo(df, hn::BitCast(dh, hn::LoadU(du, in + i))), df, out + i);
  }
  if (i < n) {
    // By a copy: hn::LoadN() wants elements at multiples of their size.
    HWY_ALIGN uint16_t rest[HWY_MAX_LANES_D(hn::ScalableTag<float>)] = {};
    std::memcpy(rest, in + i, (n - i) * sizeof(uint16_t));
    hn::StoreN(hn::PromoteTo(df, hn::BitCast(dh, hn::Load(du, rest))), df, out + i, n - i);
  }
}

void F16FromFloats(const float* in, size_t n, uint16_t* out) {
  HalvesFromFloats<hwy::float16_t>(in, n, out);
}
void BF16FromFloats(const float* in, size_t n, uint16_t* out) {
  HalvesFromFloats<hwy::bfloat16_t>(in, n, out);
}
void FloatsFromF16(const uint16_t* in, size_t n, float* out) {
  FloatsFromHalves<hwy::float16_t>(in, n, out);
}
void FloatsFromBF16(const uint16_t* in, size_t n, float* out) {
  FloatsFromHalves<hwy::bfloat16_t>(in, n, out);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(F16FromFloats);
HWY_EXPORT(BF16FromFloats);
HWY_EXPORT(FloatsFromF16);
HWY_EXPORT(FloatsFromBF16);

void FromFloats(DType type, const float* in, size_t n, std::byte* out) {
  if (type == DType::kF16) {
    HWY_DYNAMIC_DISPATCH(F16FromFloats)(in, n, reinterpret_cast<uint16_t*>(out));
  } else if (type == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(BF16FromFloats)(in, n, reinterpret_cast<uint16_t*>(out));
  } else if (n > 0) {  // memcpy from null is undefined even for nothing
    std::memcpy(out, in, n * sizeof(float));
  }
}

void ToFloats(DType type, const std::byte* in, size_t n, float* out) {
  if (type == DType::kF16) {
    HWY_DYNAMIC_DISPATCH(FloatsFromF16)(reinterpret_cast<const uint16_t*>(in), n, out);
  } else if (type == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(FloatsFromBF16)(reinterpret_cast<const uint16_t*>(in), n, out);
  } else if (n > 0) {  // memcpy from null is undefined even for nothing
    std::memcpy(out, in, n * sizeof(float));
  }
}

}  // namespace spark
#endif  // HWY_ONCE
