#include "kv/packed_row.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/convert.h"
#include "base/half.h"
#include "spark/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/packed_row.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;

// The element of largest magnitude of n, with its sign; of x and -x, x.
HWY_INLINE float Extreme(const float* x, size_t n) {
  const FloatTag df;
  auto least = hn::Zero(df), most = hn::Zero(df);
  for (size_t i = 0; i < n; i += hn::Lanes(df)) {
    const auto v = hn::LoadN(df, x + i, n - i);
    least = hn::Min(least, v);
    most = hn::Max(most, v);
  }
  const float low = hn::ReduceMin(df, least);
  const float high = hn::ReduceMax(df, most);
  return high >= -low ? high : low;
}

// Stores scale number `group` and returns what a code has to be multiplied with: the stored value.
// Elements too large for an f16 scale become the largest that there are; a zero has no sign.
HWY_INLINE float StoreScale(float scale, size_t group, std::byte* out) {
  const F16 half = ToF16(std::clamp(scale, -65504.0f, 65504.0f) + 0.0f);
  std::memcpy(out + group * sizeof(half), &half, sizeof(half));
  return ToFloat(half);
}

// codes[i] = x[i] / scale, to nearest, ties to even, clamped.
HWY_INLINE void Codes(const float* x, size_t n, float scale, float least, float most,
                      int8_t* codes) {
  const FloatTag df;
  const hn::Rebind<int8_t, FloatTag> d8;
  const auto inverse = hn::Set(df, scale != 0 ? 1 / scale : 0);
  for (size_t i = 0; i < n; i += hn::Lanes(df)) {
    const auto share = hn::Mul(hn::LoadN(df, x + i, n - i), inverse);
    const auto code = hn::Min(hn::Max(share, hn::Set(df, least)), hn::Set(df, most));
    hn::StoreN(hn::DemoteTo(d8, hn::NearestInt(code)), d8, codes + i, n - i);
  }
}

void PackQ8(const float* in, size_t n, std::byte* out) {
  auto* codes = reinterpret_cast<int8_t*>(out + PackedScaleBytes(DType::kQ8_0, n));
  for (size_t first = 0; first < n; first += kScaleGroup) {
    const size_t count = std::min(kScaleGroup, n - first);
    const float largest = std::abs(Extreme(in + first, count));
    const float scale = StoreScale(largest / 127, first / kScaleGroup, out);
    Codes(in + first, count, scale, -127, 127, codes + first);
  }
}

// The extreme element becomes code 0 exactly (as in ggml), so 16 steps serve its side.
void PackQ4(const float* in, size_t n, std::byte* out) {
  auto* pairs = reinterpret_cast<uint8_t*>(out + PackedScaleBytes(DType::kQ4_0, n));
  for (size_t first = 0; first < n; first += kScaleGroup) {
    const size_t count = std::min(kScaleGroup, n - first);
    const float scale = StoreScale(Extreme(in + first, count) / -8, first / kScaleGroup, out);
    HWY_ALIGN int8_t codes[kScaleGroup];
    Codes(in + first, count, scale, -8, 7, codes);
    if (count % 2 == 1) codes[count] = -8;  // no element: 0 in its half byte
    for (size_t i = 0; i < (count + 1) / 2; ++i) {
      const int low = codes[2 * i] + 8, high = codes[2 * i + 1] + 8;
      pairs[first / 2 + i] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(PackQ8);
HWY_EXPORT(PackQ4);

void CheckCacheType(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
      return;
    default:
      throw Error("a KV cache cannot be stored as " + std::string(Name(type)),
                  {.allowed = "f32, f16, bf16, q8_0, q4_0"});
  }
}

void PackRow(DType type, const float* in, size_t n, std::byte* out) {
  if (type == DType::kQ8_0) return HWY_DYNAMIC_DISPATCH(PackQ8)(in, n, out);
  if (type == DType::kQ4_0) return HWY_DYNAMIC_DISPATCH(PackQ4)(in, n, out);
  FromFloats(type, in, n, out);
}

void UnpackRow(DType type, const std::byte* in, size_t n, float* out) {
  if (!IsQuantized(type)) return ToFloats(type, in, n, out);
  const std::byte* codes = in + PackedScaleBytes(type, n);
  for (size_t i = 0; i < n; ++i) {
    F16 half;
    std::memcpy(&half, in + i / kScaleGroup * sizeof(half), sizeof(half));
    const float scale = ToFloat(half);
    if (type == DType::kQ8_0) {
      out[i] = scale * static_cast<float>(static_cast<int8_t>(codes[i]));
    } else {
      const int pair = std::to_integer<int>(codes[i / 2]);
      out[i] = scale * static_cast<float>(((pair >> (i % 2 * 4)) & 15) - 8);
    }
  }
}

}  // namespace spark
#endif  // HWY_ONCE
