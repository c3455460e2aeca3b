#include "kv/packed_row.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/convert.h"
#include "base/half.h"
#include "spark/error.h"

namespace spark {
namespace {

// The element of largest magnitude, with its sign.
float Extreme(const float* x, size_t n) {
  float extreme = 0;
  for (size_t i = 0; i < n; ++i) {
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  return extreme;
}

// Stores scale number `group` and returns what a code has to be multiplied with: the stored value.
float StoreScale(float scale, size_t group, std::byte* out) {
  const F16 half = ToF16(scale);
  std::memcpy(out + group * sizeof(half), &half, sizeof(half));
  return ToFloat(half);
}

float LoadScale(const std::byte* in, size_t group) {
  F16 half;
  std::memcpy(&half, in + group * sizeof(half), sizeof(half));
  return ToFloat(half);
}

int Code(float x, float inverse, int least, int most) {
  return std::clamp(static_cast<int>(std::nearbyint(x * inverse)), least, most);
}

void PackQ8(const float* in, size_t n, std::byte* out) {
  auto* codes = reinterpret_cast<int8_t*>(out + PackedScaleBytes(DType::kQ8_0, n));
  for (size_t first = 0; first < n; first += kScaleGroup) {
    const size_t end = std::min(first + kScaleGroup, n);
    const float largest = std::abs(Extreme(in + first, end - first));
    const float scale = StoreScale(largest / 127, first / kScaleGroup, out);
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (size_t i = first; i < end; ++i) {
      codes[i] = static_cast<int8_t>(Code(in[i], inverse, -127, 127));
    }
  }
}

// The extreme element becomes code 0 exactly (as in ggml), so 16 steps serve its side.
void PackQ4(const float* in, size_t n, std::byte* out) {
  auto* codes = reinterpret_cast<uint8_t*>(out + PackedScaleBytes(DType::kQ4_0, n));
  std::fill_n(codes, (n + 1) / 2, uint8_t{0});
  for (size_t first = 0; first < n; first += kScaleGroup) {
    const size_t end = std::min(first + kScaleGroup, n);
    const float scale = StoreScale(Extreme(in + first, end - first) / -8, first / kScaleGroup, out);
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (size_t i = first; i < end; ++i) {
      const int code = Code(in[i], inverse, -8, 7) + 8;
      codes[i / 2] = static_cast<uint8_t>(codes[i / 2] | (code << (i % 2 * 4)));
    }
  }
}

}  // namespace

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
  if (type == DType::kQ8_0) return PackQ8(in, n, out);
  if (type == DType::kQ4_0) return PackQ4(in, n, out);
  FromFloats(type, in, n, out);
}

void UnpackRow(DType type, const std::byte* in, size_t n, float* out) {
  if (!IsQuantized(type)) return ToFloats(type, in, n, out);
  const std::byte* codes = in + PackedScaleBytes(type, n);
  for (size_t i = 0; i < n; ++i) {
    const float scale = LoadScale(in, i / kScaleGroup);
    if (type == DType::kQ8_0) {
      out[i] = scale * static_cast<float>(static_cast<int8_t>(codes[i]));
    } else {
      const int pair = std::to_integer<int>(codes[i / 2]);
      out[i] = scale * static_cast<float>(((pair >> (i % 2 * 4)) & 15) - 8);
    }
  }
}

}  // namespace spark
