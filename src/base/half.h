// 16-bit floats, converted one at a time. Kernels convert in vectors; this is what they are tested
// against, and what reference code uses.
#ifndef SPARK_BASE_HALF_H_
#define SPARK_BASE_HALF_H_

#include <bit>
#include <cstdint>

namespace spark {

// IEEE 754 binary16 and bfloat16 as bits: storage only, no arithmetic.
enum class F16 : uint16_t {};
enum class BF16 : uint16_t {};

inline float ToFloat(BF16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

// Rounds to nearest, ties to even. NaN stays NaN.
inline BF16 ToBF16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<BF16>((bits >> 16) | 0x40u);
  return static_cast<BF16>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline float ToFloat(F16 x) {
  const auto bits = static_cast<uint32_t>(x);
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) {  // infinity, NaN
    return std::bit_cast<float>(sign | 0x7F800000u | ((magnitude & 0x3FFu) << 13));
  }
  // 2^112 rebiases the exponent from 15 to 127; the product is exact, subnormals included.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

// Rounds to nearest, ties to even; beyond 65504 becomes infinity. NaN stays NaN.
inline F16 ToF16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<F16>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<F16>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 (ulp 2^-24, that of binary16 subnormals) lets the FPU round.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<F16>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<F16>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace spark

#endif  // SPARK_BASE_HALF_H_
