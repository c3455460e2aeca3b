// Weight blocks on the device: every type gives 16 consecutive elements of a block as floats. The
// layouts are described, and read one element at a time, in backend/dequantize.cc.
#ifndef SPARK_BACKEND_CUDA_BLOCKS_CU_H_
#define SPARK_BACKEND_CUDA_BLOCKS_CU_H_

#include "backend/cuda/device.h"
#include "backend/dequantize.h"
#include "base/dtype.h"

namespace spark::cuda {

// What a thread reads at a time. Quantised types have scales for at least as many elements.
inline constexpr int kPiece = 16;

// Blocks of the quantised types are of even length, so 16-bit numbers in them are aligned.
__device__ __forceinline__ uint32_t Load16(const uint8_t* at) {
  return *reinterpret_cast<const uint16_t*>(at);
}
__device__ __forceinline__ float LoadHalf(const uint8_t* at) {
  return HalfToFloat(static_cast<uint16_t>(Load16(at)));
}
__device__ __forceinline__ int LoadInt8(const uint8_t* at) { return static_cast<int8_t>(*at); }
__device__ __forceinline__ uint32_t Load32(const uint8_t* at) {
  return Load16(at) | Load16(at + 2) << 16;
}

// A type's blocks: kElements in kBytes, and Read(block, piece, out): elements 16 piece to
// 16 piece + 15.
template <DType type>
struct Blocks;

// Plain floats are no blocks: a piece of them may be cut short (n < 16), and the rest is 0.
template <DType type>
inline constexpr bool kPlain = type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;

template <DType type>
__device__ __forceinline__ float LoadPlain(const uint8_t* row, int64_t i) {
  if constexpr (type == DType::kF32) return reinterpret_cast<const float*>(row)[i];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(row)[i];
  return type == DType::kF16 ? HalfToFloat(bits) : BrainToFloat(bits);
}

// Signed or offset bytes.
__device__ __forceinline__ void ReadBytes(float d, const uint8_t* quanta, float* out) {
#pragma unroll
  for (int i = 0; i < kPiece; i += 2) {
    const uint32_t both = Load16(quanta + i);
    out[i] = d * static_cast<float>(static_cast<int8_t>(both & 255));
    out[i + 1] = d * static_cast<float>(static_cast<int8_t>(both >> 8));
  }
}
template <>
struct Blocks<DType::kQ8_0> {
  static constexpr int kElements = 32, kBytes = 34;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    ReadBytes(LoadHalf(block), block + 2 + kPiece * piece, out);
  }
};
template <>
struct Blocks<DType::kQ8_K> {
  static constexpr int kElements = 256, kBytes = 292;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const uint32_t bits = Load32(block);
    float d;
    memcpy(&d, &bits, sizeof(d));
    ReadBytes(d, block + 4 + kPiece * piece, out);
  }
};

// Half bytes: the low ones of 16 bytes, or the high ones (`shift` 4). x = d q + m
__device__ __forceinline__ void ReadNibbles(float d, float m, const uint8_t* quanta, int shift,
                                            float* out) {
#pragma unroll
  for (int i = 0; i < kPiece; i += 2) {
    const uint32_t both = Load16(quanta + i) >> shift;
    out[i] = d * static_cast<float>(both & 15) + m;
    out[i + 1] = d * static_cast<float>((both >> 8) & 15) + m;
  }
}
template <>
struct Blocks<DType::kQ4_0> {
  static constexpr int kElements = 32, kBytes = 18;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const float d = LoadHalf(block);
    ReadNibbles(d, -8 * d, block + 2, 4 * piece, out);
  }
};
template <>
struct Blocks<DType::kQ4_1> {
  static constexpr int kElements = 32, kBytes = 20;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    ReadNibbles(LoadHalf(block), LoadHalf(block + 2), block + 4, 4 * piece, out);
  }
};

// The same with a fifth bit each: bits 0 to 15 of `fifth`.
__device__ __forceinline__ void ReadFives(float d, float m, const uint8_t* quanta, int shift,
                                          uint32_t fifth, float* out) {
#pragma unroll
  for (int i = 0; i < kPiece; i += 2) {
    const uint32_t both = Load16(quanta + i) >> shift;
    out[i] = d * static_cast<float>((both & 15) | ((fifth >> i) & 1) << 4) + m;
    out[i + 1] = d * static_cast<float>(((both >> 8) & 15) | ((fifth >> (i + 1)) & 1) << 4) + m;
  }
}
template <>
struct Blocks<DType::kQ5_0> {
  static constexpr int kElements = 32, kBytes = 22;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const float d = LoadHalf(block);
    ReadFives(d, -16 * d, block + 6, 4 * piece, Load32(block + 2) >> (kPiece * piece), out);
  }
};
template <>
struct Blocks<DType::kQ5_1> {
  static constexpr int kElements = 32, kBytes = 24;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    ReadFives(LoadHalf(block), LoadHalf(block + 2), block + 8, 4 * piece,
              Load32(block + 4) >> (kPiece * piece), out);
  }
};

// kIQ4Values, four to a word: a table in registers.
constexpr uint32_t IQ4Word(int first) {
  uint32_t word = 0;
  for (int i = 3; i >= 0; --i) {
    word = word << 8 | static_cast<uint8_t>(kIQ4Values[static_cast<size_t>(first + i)]);
  }
  return word;
}
inline constexpr uint32_t kIQ4From0 = IQ4Word(0), kIQ4From4 = IQ4Word(4), kIQ4From8 = IQ4Word(8),
                          kIQ4From12 = IQ4Word(12);
__device__ __forceinline__ float IQ4Value(uint32_t q) {
  const uint32_t word = q < 8 ? (q < 4 ? kIQ4From0 : kIQ4From4) : (q < 12 ? kIQ4From8 : kIQ4From12);
  return static_cast<float>(static_cast<int8_t>((word >> (8 * (q & 3))) & 255));
}
__device__ __forceinline__ void ReadIQ4(float d, const uint8_t* quanta, int shift, float* out) {
#pragma unroll
  for (int i = 0; i < kPiece; i += 2) {
    const uint32_t both = Load16(quanta + i) >> shift;
    out[i] = d * IQ4Value(both & 15);
    out[i + 1] = d * IQ4Value((both >> 8) & 15);
  }
}
template <>
struct Blocks<DType::kIQ4_NL> {
  static constexpr int kElements = 32, kBytes = 18;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    ReadIQ4(LoadHalf(block), block + 2, 4 * piece, out);
  }
};
template <>
struct Blocks<DType::kIQ4_XS> {
  static constexpr int kElements = 256, kBytes = 136;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const int i = piece / 2;
    const int low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
    const int high = static_cast<int>(Load16(block + 2) >> (2 * i)) & 3;
    const float d = LoadHalf(block) * static_cast<float>((low | high << 4) - 32);
    ReadIQ4(d, block + 8 + 16 * i, 4 * (piece % 2), out);
  }
};

// Scale and minimum of sub-block i of Q4_K and Q5_K, times d and dmin.
struct ScaledSub {
  float d, m;
};
__device__ __forceinline__ ScaledSub ReadSub(const uint8_t* block, int i) {
  const uint8_t* packed = block + 4;
  int scale, min;
  if (i < 4) {
    scale = packed[i] & 63;
    min = packed[i + 4] & 63;
  } else {
    scale = (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
    min = (packed[i + 4] >> 4) | (packed[i] >> 6) << 4;
  }
  return {LoadHalf(block) * static_cast<float>(scale),
          -LoadHalf(block + 2) * static_cast<float>(min)};
}
template <>
struct Blocks<DType::kQ4_K> {
  static constexpr int kElements = 256, kBytes = 144;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const int i = piece / 2;
    const ScaledSub sub = ReadSub(block, i);
    ReadNibbles(sub.d, sub.m, block + 16 + 32 * (i / 2) + kPiece * (piece % 2), 4 * (i % 2), out);
  }
};
template <>
struct Blocks<DType::kQ5_K> {
  static constexpr int kElements = 256, kBytes = 176;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const int i = piece / 2;
    const uint8_t* fifths = block + 16 + kPiece * (piece % 2);
    uint32_t fifth = 0;
#pragma unroll
    for (int l = 0; l < kPiece; ++l) fifth |= static_cast<uint32_t>((fifths[l] >> i) & 1) << l;
    const ScaledSub sub = ReadSub(block, i);
    ReadFives(sub.d, sub.m, block + 48 + 32 * (i / 2) + kPiece * (piece % 2), 4 * (i % 2), fifth,
              out);
  }
};
template <>
struct Blocks<DType::kQ6_K> {
  static constexpr int kElements = 256, kBytes = 210;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const int half = piece / 8, r = piece % 8 / 2;
    const uint8_t* low = block + 64 * half + 32 * (r % 2) + kPiece * (piece % 2);
    const uint8_t* high = block + 128 + 32 * half + kPiece * (piece % 2);
    const float d = LoadHalf(block + 208) * static_cast<float>(LoadInt8(block + 192 + piece));
#pragma unroll
    for (int l = 0; l < kPiece; ++l) {
      const int q = (low[l] >> (4 * (r / 2)) & 15) | (high[l] >> (2 * r) & 3) << 4;
      out[l] = d * static_cast<float>(q - 32);
    }
  }
};

// Quanta of 2 bits: where piece's begin, and how far they are shifted.
__device__ __forceinline__ const uint8_t* Quanta2(const uint8_t* quanta, int piece) {
  return quanta + 32 * (piece / 8) + kPiece * (piece % 2);
}
__device__ __forceinline__ int Shift2(int piece) { return 2 * (piece % 8 / 2); }
template <>
struct Blocks<DType::kQ2_K> {
  static constexpr int kElements = 256, kBytes = 84;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const int both = block[piece];
    const float d = LoadHalf(block + 80) * static_cast<float>(both & 15);
    const float m = LoadHalf(block + 82) * static_cast<float>(both >> 4);
    const uint8_t* quanta = Quanta2(block + 16, piece);
#pragma unroll
    for (int l = 0; l < kPiece; ++l) {
      out[l] = d * static_cast<float>(quanta[l] >> Shift2(piece) & 3) - m;
    }
  }
};
template <>
struct Blocks<DType::kQ3_K> {
  static constexpr int kElements = 256, kBytes = 110;
  __device__ static void Read(const uint8_t* block, int piece, float* out) {
    const uint8_t* scales = block + 96;
    const int low = scales[piece % 8] >> (4 * (piece / 8)) & 15;
    const int high = scales[8 + piece % 4] >> (2 * (piece / 4)) & 3;
    const float d = LoadHalf(block + 108) * static_cast<float>((low | high << 4) - 32);
    const uint8_t* thirds = block + kPiece * (piece % 2);
    const uint8_t* quanta = Quanta2(block + 32, piece);
#pragma unroll
    for (int l = 0; l < kPiece; ++l) {
      const int third = thirds[l] >> (piece / 2) & 1;
      out[l] = d * static_cast<float>(((quanta[l] >> Shift2(piece) & 3) | third << 2) - 4);
    }
  }
};

// Piece `piece` of a row of `cols` elements, 0 behind its end.
template <DType type>
__device__ __forceinline__ void ReadPiece(const uint8_t* row, int piece, int cols, float* out) {
  if constexpr (kPlain<type>) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {
      const int c = piece * kPiece + i;
      out[i] = c < cols ? LoadPlain<type>(row, c) : 0.0f;
    }
  } else {
    constexpr int kPieces = Blocks<type>::kElements / kPiece;
    const uint8_t* block = row + static_cast<size_t>(piece / kPieces) * Blocks<type>::kBytes;
    Blocks<type>::Read(block, piece % kPieces, out);
  }
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_BLOCKS_CU_H_
