// How a row of floats (a key, a value, the kept channels of a key) is stored in a KV cache.
//
//   f32, f16, bf16   n elements
//   q8_0             ceil(n/32) f16 scales, then n signed bytes:        x ≈ scale * code
//   q4_0             ceil(n/32) f16 scales, then ceil(n/2) bytes, element 2i in the low half of
//                    byte i:                                            x ≈ scale * (code - 8)
//
// Scales are those of 32 elements, as in ggml's blocks of the same names, but a row may have any
// length (the last group is shorter), and its codes lie together so that vectors read across
// groups. Why a scale for 32 and not one a row: docs/decisions.md.
#ifndef SPARK_KV_PACKED_ROW_H_
#define SPARK_KV_PACKED_ROW_H_

#include <cstddef>

#include "base/dtype.h"
#include "base/tiles.h"

namespace spark {

inline constexpr size_t kScaleGroup = 32;  // elements that share a scale

// Throws Error for a type that no cache is stored in.
void CheckCacheType(DType type);

constexpr size_t PackedScaleBytes(DType type, size_t n) {
  const bool quantized = type == DType::kQ8_0 || type == DType::kQ4_0;
  return quantized ? CeilDiv(n, kScaleGroup) * 2 : 0;
}
// type: f32, f16, bf16, q8_0 or q4_0. 0 elements take 0 bytes.
constexpr size_t PackedRowBytes(DType type, size_t n) {
  switch (type) {
    case DType::kF32:
      return n * 4;
    case DType::kQ8_0:
      return PackedScaleBytes(type, n) + n;
    case DType::kQ4_0:
      return PackedScaleBytes(type, n) + (n + 1) / 2;
    default:
      return n * 2;
  }
}

// No alignment needed; `out` and `in` of bytes hold PackedRowBytes(type, n).
void PackRow(DType type, const float* in, size_t n, std::byte* out);
void UnpackRow(DType type, const std::byte* in, size_t n, float* out);

}  // namespace spark

#endif  // SPARK_KV_PACKED_ROW_H_
