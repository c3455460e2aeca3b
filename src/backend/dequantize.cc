#include "backend/dequantize.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace spark {
namespace {

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

float LoadF16(const std::byte* at) { return ToFloat(static_cast<F16>(Load<uint16_t>(at))); }
float LoadBF16(const std::byte* at) { return ToFloat(static_cast<BF16>(Load<uint16_t>(at))); }
int LoadU8(const std::byte* at) { return std::to_integer<int>(*at); }
int LoadI8(const std::byte* at) { return Load<int8_t>(at); }

// Blocks of 32: f16 scale d [, f16 minimum m], then the quanta. 4-bit quanta are packed in pairs
// that are 16 apart: byte j holds element j in its low and element j + 16 in its high half.
constexpr int kHalf = 16;

// d | 32 × i8: x = d q
void DequantizeQ8_0(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(LoadI8(block + 2 + j));
}

// d | 16 bytes of quanta: x = d (q - 8)
void DequantizeQ4_0(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  for (int j = 0; j < kHalf; ++j) {
    const int pair = LoadU8(block + 2 + j);
    out[j] = d * static_cast<float>((pair & 15) - 8);
    out[j + kHalf] = d * static_cast<float>((pair >> 4) - 8);
  }
}

// d | m | 16 bytes of quanta: x = d q + m
void DequantizeQ4_1(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  const float m = LoadF16(block + 2);
  for (int j = 0; j < kHalf; ++j) {
    const int pair = LoadU8(block + 4 + j);
    out[j] = d * static_cast<float>(pair & 15) + m;
    out[j + kHalf] = d * static_cast<float>(pair >> 4) + m;
  }
}

// Element j of 5-bit quanta: 4 low bits as above, its fifth in bit j of `high`.
int Quantum5(uint32_t high, const std::byte* low, int j) {
  const int pair = LoadU8(low + j % kHalf);
  const int fifth = static_cast<int>((high >> j) & 1u) << 4;
  return fifth | (j < kHalf ? pair & 15 : pair >> 4);
}

// d | u32 of fifth bits | 16 bytes of quanta: x = d (q - 16)
void DequantizeQ5_0(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  const auto high = Load<uint32_t>(block + 2);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(Quantum5(high, block + 6, j) - 16);
}

// d | m | u32 of fifth bits | 16 bytes of quanta: x = d q + m
void DequantizeQ5_1(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  const float m = LoadF16(block + 2);
  const auto high = Load<uint32_t>(block + 4);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(Quantum5(high, block + 8, j)) + m;
}

// d | 16 bytes of quanta: x = d value[q]
void DequantizeIQ4(float d, const std::byte* quanta, float* out) {
  for (int j = 0; j < kHalf; ++j) {
    const auto pair = static_cast<size_t>(LoadU8(quanta + j));
    out[j] = d * static_cast<float>(kIQ4Values[pair & 15]);
    out[j + kHalf] = d * static_cast<float>(kIQ4Values[pair >> 4]);
  }
}

void DequantizeIQ4_NL(const std::byte* block, float* out) {
  DequantizeIQ4(LoadF16(block), block + 2, out);
}

// Blocks of 256 = 8 sub-blocks of 32 like those above: d | u16 of the scales' high 2 bits, from
// bit 2 i | their low 4 bits [4], in pairs | quanta [128]. x = d (scale - 32) value[q]
void DequantizeIQ4_XS(const std::byte* block, float* out) {
  const float d = LoadF16(block);
  const auto high = Load<uint16_t>(block + 2);
  for (size_t i = 0; i < 8; ++i) {
    const int low = LoadU8(block + 4 + i / 2) >> (4 * (i % 2)) & 15;
    const int scale = low | ((high >> (2 * i)) & 3) << 4;
    DequantizeIQ4(d * static_cast<float>(scale - 32), block + 8 + 16 * i, out + 32 * i);
  }
}

struct ScaleAndMin {
  int scale, min;
};

// Sub-block i of 8 in Q4_K and Q5_K, whose 12 bytes hold 8 scales and 8 minima of 6 bits: those of
// sub-blocks 0-3 are the low 6 bits of bytes 0-3 and 4-7; the other four have their low 4 bits in
// bytes 8-11 and their high 2 bits on top of bytes 0-3 and 4-7.
ScaleAndMin UnpackScale(const std::byte* packed, size_t i) {
  const auto at = [&](size_t j) { return LoadU8(packed + j); };
  if (i < 4) return {at(i) & 63, at(i + 4) & 63};
  return {(at(i + 4) & 15) | ((at(i - 4) >> 6) << 4), (at(i + 4) >> 4) | ((at(i) >> 6) << 4)};
}

// Blocks of 256 = 8 sub-blocks of 32: d | dmin | scales [12] | [fifth bits [32] |] quanta [128].
// Bytes 32 p to 32 p + 31 of the quanta hold sub-block 2 p in their low and 2 p + 1 in their high
// halves; the fifth bit of element l of sub-block i is bit i of byte l. x = d scale q - dmin min
void DequantizeQ45_K(const std::byte* block, const std::byte* fifth, const std::byte* quanta,
                     float* out) {
  const float d = LoadF16(block);
  const float dmin = LoadF16(block + 2);
  for (size_t i = 0; i < 8; ++i) {
    const auto [scale, min] = UnpackScale(block + 4, i);
    const float d_sub = d * static_cast<float>(scale);
    const float m_sub = dmin * static_cast<float>(min);
    for (size_t l = 0; l < 32; ++l) {
      const int pair = LoadU8(quanta + 32 * (i / 2) + l);
      int q = i % 2 == 0 ? pair & 15 : pair >> 4;
      if (fifth != nullptr) q |= ((LoadU8(fifth + l) >> i) & 1) << 4;
      out[32 * i + l] = d_sub * static_cast<float>(q) - m_sub;
    }
  }
}

void DequantizeQ4_K(const std::byte* block, float* out) {
  DequantizeQ45_K(block, nullptr, block + 16, out);
}

void DequantizeQ5_K(const std::byte* block, float* out) {
  DequantizeQ45_K(block, block + 16, block + 48, out);
}

// Blocks of 256 = 16 sub-blocks of 16: low [128] | high [64] | 16 × i8 scale | d.
// In each half of 128 elements, element 32 r + l (r = 0 … 3) has its 4 low bits in byte
// 32 (r % 2) + l, in the low half for r < 2, and its 2 high bits at bit 2 r of byte l.
// x = d scale (q - 32)
void DequantizeQ6_K(const std::byte* block, float* out) {
  const float d = LoadF16(block + 208);
  for (size_t j = 0; j < 256; ++j) {
    const size_t half = j / 128;
    const size_t r = j % 128 / 32;
    const size_t l = j % 32;
    const int pair = LoadU8(block + 64 * half + 32 * (r % 2) + l);
    const int low = r < 2 ? pair & 15 : pair >> 4;
    const int high = (LoadU8(block + 128 + 32 * half + l) >> (2 * r)) & 3;
    const int scale = LoadI8(block + 192 + j / 16);
    out[j] = d * static_cast<float>(scale) * static_cast<float>((low | (high << 4)) - 32);
  }
}

// Quantum j of 256 of 2 bits: in each half of 128, elements l, l + 32, l + 64 and l + 96 share byte
// l, the first in the lowest bits.
int Quantum2(const std::byte* quanta, size_t j) {
  return LoadU8(quanta + 32 * (j / 128) + j % 32) >> (2 * (j % 128 / 32)) & 3;
}

// Blocks of 256 = 16 sub-blocks of 16: scales [16], 4 bits each with a 4-bit minimum above |
// quanta [64] | d | dmin. x = d scale q - dmin min
void DequantizeQ2_K(const std::byte* block, float* out) {
  const float d = LoadF16(block + 80);
  const float dmin = LoadF16(block + 82);
  for (size_t j = 0; j < 256; ++j) {
    const int both = LoadU8(block + j / 16);
    const float d_sub = d * static_cast<float>(both & 15);
    const float m_sub = dmin * static_cast<float>(both >> 4);
    out[j] = d_sub * static_cast<float>(Quantum2(block + 16, j)) - m_sub;
  }
}

// Blocks of 256 = 16 sub-blocks of 16: high bits [32] | quanta [64] | scales [12] | d. The third
// bit of element j is bit j / 32 of byte j % 32. The 6-bit scale of sub-block i has its low 4 bits
// in byte i % 8, the high half for i >= 8, and its high 2 at bit 2 (i / 4) of byte 8 + i % 4.
// x = d (scale - 32) (q - 4)
void DequantizeQ3_K(const std::byte* block, float* out) {
  const float d = LoadF16(block + 108);
  const std::byte* scales = block + 96;
  for (size_t j = 0; j < 256; ++j) {
    const size_t i = j / 16;
    const int low = LoadU8(scales + i % 8) >> (4 * (i / 8)) & 15;
    const int high = LoadU8(scales + 8 + i % 4) >> (2 * (i / 4)) & 3;
    const float d_sub = d * static_cast<float>((low | high << 4) - 32);
    const int third = LoadU8(block + j % 32) >> (j / 32) & 1;
    out[j] = d_sub * static_cast<float>((Quantum2(block + 32, j) | third << 2) - 4);
  }
}

// f32 d | 256 × i8 | sums of 16 quanta each, as i16 [16], which are not needed: x = d q
void DequantizeQ8_K(const std::byte* block, float* out) {
  const float d = Load<float>(block);
  for (size_t j = 0; j < 256; ++j) out[j] = d * static_cast<float>(LoadI8(block + 4 + j));
}

using BlockFunction = void (*)(const std::byte* block, float* out);

BlockFunction FunctionFor(DType type) {
  switch (type) {
    case DType::kF32:
      return [](const std::byte* block, float* out) { *out = Load<float>(block); };
    case DType::kF16:
      return [](const std::byte* block, float* out) { *out = LoadF16(block); };
    case DType::kBF16:
      return [](const std::byte* block, float* out) { *out = LoadBF16(block); };
    case DType::kQ8_0:
      return DequantizeQ8_0;
    case DType::kQ4_0:
      return DequantizeQ4_0;
    case DType::kQ4_1:
      return DequantizeQ4_1;
    case DType::kQ5_0:
      return DequantizeQ5_0;
    case DType::kQ5_1:
      return DequantizeQ5_1;
    case DType::kQ4_K:
      return DequantizeQ4_K;
    case DType::kQ5_K:
      return DequantizeQ5_K;
    case DType::kQ6_K:
      return DequantizeQ6_K;
    case DType::kQ2_K:
      return DequantizeQ2_K;
    case DType::kQ3_K:
      return DequantizeQ3_K;
    case DType::kQ8_K:
      return DequantizeQ8_K;
    case DType::kIQ4_NL:
      return DequantizeIQ4_NL;
    case DType::kIQ4_XS:
      return DequantizeIQ4_XS;
  }
  return nullptr;  // not reached
}

bool F16IsFinite(const std::byte* at) { return (Load<uint16_t>(at) & 0x7C00u) != 0x7C00u; }

// Whether every float of a block is finite; the integers always are.
bool BlockIsFinite(DType type, const std::byte* block) {
  switch (type) {
    case DType::kF32:
    case DType::kQ8_K:
      return std::isfinite(Load<float>(block));
    case DType::kBF16:
      return (Load<uint16_t>(block) & 0x7F80u) != 0x7F80u;
    case DType::kF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
      return F16IsFinite(block);
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return F16IsFinite(block) && F16IsFinite(block + 2);
    case DType::kQ6_K:
      return F16IsFinite(block + 208);
    case DType::kQ2_K:
      return F16IsFinite(block + 80) && F16IsFinite(block + 82);
    case DType::kQ3_K:
      return F16IsFinite(block + 108);
  }
  return true;  // not reached
}

}  // namespace

void DequantizeRow(DType type, const std::byte* row, size_t n, float* out) {
  const DTypeTraits& traits = Traits(type);
  const BlockFunction dequantize = FunctionFor(type);
  for (size_t i = 0; i < n; i += traits.block_elements) {
    dequantize(row, out + i);
    row += traits.block_bytes;
  }
}

std::optional<size_t> FindNonFinite(const Weight& weight) {
  const DTypeTraits& traits = Traits(weight.type);
  const size_t blocks = weight.rows * (weight.cols / traits.block_elements);
  for (size_t i = 0; i < blocks; ++i) {
    if (!BlockIsFinite(weight.type, weight.data + i * traits.block_bytes)) {
      return i * traits.block_elements;
    }
  }
  return std::nullopt;
}

}  // namespace spark
