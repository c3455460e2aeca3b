// Products of groups of 32 weights, as the types without superblocks store them, with activations:
// a strip of kUnits groups at a time.
#if defined(SPARK_BACKEND_CPU_BLOCK_STRIPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_BLOCK_STRIPS_INL_H_
#undef SPARK_BACKEND_CPU_BLOCK_STRIPS_INL_H_
#else
#define SPARK_BACKEND_CPU_BLOCK_STRIPS_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backend/cpu/block_lanes-inl.h"
#include "backend/cpu/int_matmul.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/weight_memory-inl.h"
#include "backend/dequantize.h"
#include "base/tiles.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && !(HWY_TARGET & HWY_ALL_SVE)

constexpr size_t kGroup = 32;

// A strip is kUnits groups of an activation row: the first halves of all of them, their second
// halves, the groups' scales in four lanes each, their sums in the second of four, the others 0.
// Where the number of groups is no multiple of kUnits the last strip begins earlier, so that it is
// full, and what other strips have counted is 0 in it.
constexpr size_t kStripBytes = kUnits * (kGroup + 2 * 4 * sizeof(float));

constexpr size_t FirstGroup(size_t strip, size_t groups) {
  return HWY_MIN(strip * kUnits, groups - kUnits);
}

inline void MakeGroupStrips(const QuantizedRow& x, size_t cols, std::byte* out) {
  const size_t groups = cols / kGroup;
  for (size_t s = 0; s < CeilDiv(groups, kUnits); ++s, out += kStripBytes) {
    auto* scales = reinterpret_cast<float*>(out + kUnits * kGroup);
    float* sums = scales + 4 * kUnits;
    std::memset(sums, 0, 4 * kUnits * sizeof(float));
    for (size_t u = 0; u < kUnits; ++u) {
      const size_t g = FirstGroup(s, groups) + u;
      const bool counts = g >= s * kUnits;
      std::memcpy(out + u * 16, x.q + g * kGroup, 16);
      std::memcpy(out + (kUnits + u) * 16, x.q + g * kGroup + 16, 16);
      std::fill_n(scales + 4 * u, 4, counts ? x.scales[g] : 0.0f);
      sums[4 * u + 1] = counts ? x.sums[g] : 0.0f;
    }
  }
}

// What kUnits blocks hold: bytes of the first and the second halves of their groups; scale of a
// block in its four lanes and minimum, of types that have one, at least in the second of them. A
// weight is scale · byte + minimum, or scale · (byte - kZero).
struct BlockValues {
  HWY_INLINE BlockValues() {}  // one by default would not be of this target
  ByteLanes first, second;
  FloatLanes scale, minimum;
};

// One of these a type. The halves of a group are the low and the high halves of its 16 bytes.
template <size_t kHeader, size_t kBlockBytes>
HWY_INLINE BlockValues Nibbles(const uint8_t* blocks) {
  const BlockBytes d;
  const ByteLanes both = Units<kBlockBytes, kHeader>(blocks);
  BlockValues values;
  values.first = hn::And(both, hn::Set(d, uint8_t{15}));
  values.second = hn::ShiftRight<4>(both);
  return values;
}

struct Q4_0Blocks {
  static constexpr size_t kElements = kGroup, kBytes = 18;
  static constexpr Bytes kRange = Bytes::kSmall;
  static constexpr bool kMinima = false;
  static constexpr float kZero = 8;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    BlockValues values = Nibbles<2, kBytes>(blocks);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

struct Q4_1Blocks {
  static constexpr size_t kElements = kGroup, kBytes = 20;
  static constexpr Bytes kRange = Bytes::kSmall;
  static constexpr bool kMinima = true;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    BlockValues values = Nibbles<4, kBytes>(blocks);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

template <size_t kHeader, size_t kBlockBytes>
HWY_INLINE void AddFifthBits(const uint8_t* blocks, BlockValues& values) {
  ByteLanes first, second;
  BytesOfBits<kBlockBytes, kHeader>(blocks, first, second);
  values.first = WithFifthBit(values.first, first);
  values.second = WithFifthBit(values.second, second);
}

struct Q5_0Blocks {
  static constexpr size_t kElements = kGroup, kBytes = 22;
  static constexpr Bytes kRange = Bytes::kSmall;
  static constexpr bool kMinima = false;
  static constexpr float kZero = 16;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    BlockValues values = Nibbles<6, kBytes>(blocks);
    AddFifthBits<2, kBytes>(blocks, values);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

struct Q5_1Blocks {
  static constexpr size_t kElements = kGroup, kBytes = 24;
  static constexpr Bytes kRange = Bytes::kSmall;
  static constexpr bool kMinima = true;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    BlockValues values = Nibbles<8, kBytes>(blocks);
    AddFifthBits<4, kBytes>(blocks, values);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

struct Q8_0Blocks {
  static constexpr size_t kElements = kGroup, kBytes = 34;
  static constexpr Bytes kRange = Bytes::kWide;
  static constexpr bool kMinima = false;
  static constexpr float kZero = 128;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    const BlockBytes d;
    const ByteLanes flip = hn::Set(d, uint8_t{128});
    BlockValues values;
    values.first = hn::Xor(Units<kBytes, 2>(blocks), flip);
    values.second = hn::Xor(Units<kBytes, 18>(blocks), flip);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

struct IQ4_NLBlocks {
  static constexpr size_t kElements = kGroup, kBytes = 18;
  static constexpr Bytes kRange = Bytes::kWide;
  static constexpr bool kMinima = false;
  static constexpr float kZero = 128;
  static HWY_INLINE BlockValues Load(const uint8_t* blocks) {
    const BlockBytes d;
    const Unit d16;
    const auto values16 = hn::LoadU(d16, reinterpret_cast<const uint8_t*>(kIQ4Values.data()));
    const auto table =
        hn::Xor(hn::BroadcastBlock<0>(hn::ResizeBitCast(d, values16)), hn::Set(d, uint8_t{128}));
    BlockValues values = Nibbles<2, kBytes>(blocks);
    values.first = hn::TableLookupBytes(table, values.first);
    values.second = hn::TableLookupBytes(table, values.second);
    Halves<kBytes, kMinima>(blocks, values.scale, values.minimum);
    return values;
  }
};

template <class Blocks>
HWY_INLINE FloatLanes AddStrip(const uint8_t* blocks, const std::byte* strip, FloatLanes sum) {
  const BlockChars d8;
  const BlockInts di;
  const BlockFloats df;
  const auto* q = reinterpret_cast<const int8_t*>(strip);
  const auto* scales = reinterpret_cast<const float*>(strip + kUnits * kGroup);
  const BlockValues w = Blocks::Load(blocks);
  const IntLanes dot = TwoQuadDots<Blocks::kRange>(di, w.first, hn::Load(d8, q), w.second,
                                                   hn::Load(d8, q + 16 * kUnits));
  const auto sums = hn::Load(df, scales + 4 * kUnits);
  FloatLanes product = hn::Mul(hn::ConvertTo(df, dot), hn::Load(df, scales));
  if constexpr (Blocks::kMinima) {
    sum = hn::MulAdd(w.minimum, sums, sum);
  } else if constexpr (!kOffsetInDot<Blocks::kRange>) {
    product = hn::MulAdd(hn::Set(df, -Blocks::kZero), sums, product);
  }
  return hn::MulAdd(product, w.scale, sum);
}

template <class Blocks>
HWY_INLINE FloatLanes GroupRowSum(const uint8_t* row, size_t cols, const std::byte* strips) {
  const BlockFloats df;
  const size_t groups = cols / kGroup;
  const size_t whole = groups / kUnits;
  FloatLanes sum0 = hn::Zero(df), sum1 = sum0;
  size_t s = 0;
  for (; s + 2 <= whole; s += 2) {
    const uint8_t* blocks = row + s * kUnits * Blocks::kBytes;
    PrefetchAhead<2 * kUnits * Blocks::kBytes>(blocks);
    sum0 = AddStrip<Blocks>(blocks, strips + s * kStripBytes, sum0);
    sum1 = AddStrip<Blocks>(blocks + kUnits * Blocks::kBytes, strips + (s + 1) * kStripBytes, sum1);
  }
  for (; s * kUnits < groups; ++s) {
    const uint8_t* blocks = row + FirstGroup(s, groups) * Blocks::kBytes;
    PrefetchAhead<kUnits * Blocks::kBytes>(blocks);
    sum0 = AddStrip<Blocks>(blocks, strips + s * kStripBytes, sum0);
  }
  return hn::Add(sum0, sum1);
}

#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_BLOCK_STRIPS_INL_H_
