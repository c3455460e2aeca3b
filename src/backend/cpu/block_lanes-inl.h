// Vectors of block_dot.cc: 16 bytes (a "unit") of each of kUnits blocks of a weight row, and floats
// with four lanes a unit. Empty for targets without vectors or whose vectors can't be members
// (SVE).
#if defined(SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_
#undef SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_
#else
#define SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_
#endif

#include <array>
#include <cstdint>
#include <cstring>

#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE || (HWY_TARGET & HWY_ALL_SVE)
inline constexpr size_t kUnits = 0;
#else
// 64-byte vectors where bytes can be gathered from anywhere in two of them (AVX-512 VBMI).
inline constexpr size_t kUnits = kNativeUnsigned ? 4 : HWY_MAX_BYTES >= 32 ? 2 : 1;

using Unit = hn::FixedTag<uint8_t, 16>;
using BlockBytes = hn::FixedTag<uint8_t, 16 * kUnits>;
using BlockChars = hn::FixedTag<int8_t, 16 * kUnits>;
using BlockInts = hn::FixedTag<int32_t, 4 * kUnits>;
using BlockFloats = hn::FixedTag<float, 4 * kUnits>;
using ByteLanes = hn::Vec<BlockBytes>;
using CharLanes = hn::Vec<BlockChars>;
using IntLanes = hn::Vec<BlockInts>;
using FloatLanes = hn::Vec<BlockFloats>;

template <class T>
HWY_INLINE T ReadAs(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

// What is taken from each of four blocks: 16 bytes; two bytes, repeated for 16 bits of eight lanes
// each; f16 scales for four lanes each, those at the next two bytes in the upper half.
enum class Take { kUnit, kBits, kHalves };

// Where the bytes of a vector are in four blocks of kStride bytes, as places in two vectors that
// are loaded from kFirst and kSecond on: nothing outside the four blocks is read.
template <Take kTake, size_t kStride, size_t kOffset>
struct Places {
  static constexpr size_t kTaken = kTake == Take::kUnit ? 16 : kTake == Take::kBits ? 2 : 4;
  static constexpr size_t kEnd = HWY_MIN(kOffset + 3 * kStride + kTaken, 4 * kStride);
  static constexpr size_t kFirst = kEnd <= 128 ? 0 : kEnd - 128;
  static constexpr size_t kSecond = kEnd <= 64 ? 0 : kEnd - 64;

  static constexpr std::array<uint8_t, 64> Make() {
    std::array<uint8_t, 64> index{};
    for (size_t i = 0; i < 64; ++i) {
      const size_t block = kTake == Take::kHalves ? i % 32 / 8 : i / 16;
      const size_t byte = kTake == Take::kUnit   ? i % 16
                          : kTake == Take::kBits ? i % 16 / 8
                                                 : i / 32 * 2 + i % 2;
      const size_t place = block * kStride + kOffset + byte;
      index[i] = static_cast<uint8_t>(place < kFirst + 64 ? place - kFirst : place - kSecond + 64);
    }
    return index;
  }
  alignas(64) static constexpr std::array<uint8_t, 64> kIndex = Make();
};

template <Take kTake, size_t kStride, size_t kOffset>
HWY_INLINE ByteLanes Gathered(const uint8_t* blocks) {
  using P = Places<kTake, kStride, kOffset>;
  const BlockBytes d;
  const auto index = hn::SetTableIndices(d, P::kIndex.data());
  const ByteLanes first = hn::LoadU(d, blocks + P::kFirst);
  if constexpr (P::kSecond == 0) {
    return hn::TableLookupLanes(first, index);
  } else {
    return hn::TwoTablesLookupLanes(first, hn::LoadU(d, blocks + P::kSecond), index);
  }
}

// Unit j: the 16 bytes at kOffset of block j.
template <size_t kStride, size_t kOffset>
HWY_INLINE ByteLanes Units(const uint8_t* blocks) {
  if constexpr (kStride == 16) {
    return hn::LoadU(BlockBytes(), blocks + kOffset);
  } else {
    return Gathered<Take::kUnit, kStride, kOffset>(blocks);
  }
}

// The lanes of unit j: the f16 scale at the start of block j, and the minimum that follows it, at
// least in the second.
template <size_t kStride, bool kMinima>
HWY_INLINE void Halves(const uint8_t* blocks, FloatLanes& scale,
                       [[maybe_unused]] FloatLanes& minimum) {
  const hn::FixedTag<hwy::float16_t, 16> dh;
  const hn::Repartition<hwy::float16_t, BlockBytes> d;
  const auto both = hn::BitCast(d, Gathered<Take::kHalves, kStride, 0>(blocks));
  scale = hn::PromoteTo(BlockFloats(), hn::LowerHalf(dh, both));
  if constexpr (kMinima) minimum = hn::PromoteTo(BlockFloats(), hn::UpperHalf(dh, both));
}

// 16 where bit i of the 16 bits at kOffset of block j is set, for byte i of unit j; else 0.
template <size_t kStride, size_t kOffset>
HWY_INLINE ByteLanes BitsTo16(const uint8_t* blocks) {
  const BlockBytes d;
  const ByteLanes bits = Gathered<Take::kBits, kStride, kOffset>(blocks);
  const auto each =
      hn::BitCast(d, hn::Set(hn::Repartition<uint64_t, BlockBytes>(), 0x8040201008040201u));
  return hn::IfThenElseZero(hn::TestBit(bits, each), hn::Set(d, uint8_t{16}));
}

#else

template <size_t kStride, size_t kOffset>
HWY_INLINE ByteLanes Units(const uint8_t* blocks) {
  if constexpr (kUnits == 1) {
    return hn::LoadU(BlockBytes(), blocks + kOffset);
  } else {
    const hn::Half<BlockBytes> unit;
    return hn::Combine(BlockBytes(), hn::LoadU(unit, blocks + kStride + kOffset),
                       hn::LoadU(unit, blocks + kOffset));
  }
}

template <size_t kStride, bool kMinima>
HWY_INLINE void Halves(const uint8_t* blocks, FloatLanes& scale,
                       [[maybe_unused]] FloatLanes& minimum) {
  const BlockFloats df;
  const hn::Rebind<hwy::float16_t, BlockFloats> dh;
  using Bits = std::conditional_t<kMinima, uint32_t, uint16_t>;
  const hn::Repartition<Bits, decltype(dh)> d;
  auto bits = hn::Set(d, ReadAs<Bits>(blocks));
  if constexpr (kUnits == 2) {
    const hn::Repartition<uint64_t, decltype(dh)> d64;
    const auto next = hn::Set(d, ReadAs<Bits>(blocks + kStride));
    bits = hn::BitCast(d, hn::InterleaveLower(d64, hn::BitCast(d64, bits), hn::BitCast(d64, next)));
  }
  const FloatLanes floats = hn::PromoteTo(df, hn::BitCast(dh, bits));
  scale = kMinima ? hn::DupEven(floats) : floats;
  if constexpr (kMinima) minimum = floats;  // in odd lanes
}

template <size_t kStride, size_t kOffset>
HWY_INLINE ByteLanes BitsTo16(const uint8_t* blocks) {
  const BlockBytes d;
  uint32_t bits = ReadAs<uint16_t>(blocks + kOffset);
  if constexpr (kUnits == 2) {
    bits |= static_cast<uint32_t>(ReadAs<uint16_t>(blocks + kStride + kOffset)) << 16;
  }
  uint8_t bytes[8] = {};
  std::memcpy(bytes, &bits, sizeof(bits));
  return hn::IfThenElseZero(hn::LoadMaskBits(d, bytes), hn::Set(d, uint8_t{16}));
}

#endif  // VBMI
#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_
