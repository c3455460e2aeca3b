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

// Of the 32 bits at kOffset of block j: for byte i of unit j the byte that bit i is in, and the one
// that bit 16 + i is in.
template <size_t kStride, size_t kOffset>
HWY_INLINE void BytesOfBits(const uint8_t* blocks, ByteLanes& first, ByteLanes& second) {
  first = Gathered<Take::kBits, kStride, kOffset>(blocks);
  second = Gathered<Take::kBits, kStride, kOffset + 2>(blocks);
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

// The four bytes at kOffset of block j, in every lane of unit j. As floats, which g++ loads and
// spreads in one step, where integers take it two.
template <size_t kStride, size_t kOffset>
HWY_INLINE FloatLanes Fours(const uint8_t* blocks) {
  const BlockFloats df;
  const hn::FixedTag<float, 4> d4;
  const auto of_block = [&](size_t j) HWY_ATTR {
    return hn::ResizeBitCast(df, hn::Set(d4, ReadAs<float>(blocks + j * kStride + kOffset)));
  };
  if constexpr (kUnits == 1) return of_block(0);
  return hn::ConcatLowerLower(df, of_block(1), of_block(0));
}

template <size_t kStride, bool kMinima>
HWY_INLINE void Halves(const uint8_t* blocks, FloatLanes& scale,
                       [[maybe_unused]] FloatLanes& minimum) {
  const BlockFloats df;
  const hn::Rebind<hwy::float16_t, BlockFloats> dh;
  const hn::Repartition<float, decltype(dh)> d;  // four bytes of each block, twice
  auto bits = hn::Set(d, ReadAs<float>(blocks));
  if constexpr (kUnits == 2) {
    const hn::Repartition<uint64_t, decltype(dh)> d64;
    const auto next = hn::Set(d, ReadAs<float>(blocks + kStride));
    bits = hn::BitCast(d, hn::InterleaveLower(d64, hn::BitCast(d64, bits), hn::BitCast(d64, next)));
  }
  // In odd lanes minima, or whatever comes behind a scale.
  const FloatLanes floats = hn::PromoteTo(df, hn::BitCast(dh, bits));
  scale = hn::DupEven(floats);
  if constexpr (kMinima) minimum = floats;
}

template <size_t kStride, size_t kOffset>
HWY_INLINE void BytesOfBits(const uint8_t* blocks, ByteLanes& first, ByteLanes& second) {
  const BlockBytes d;
  const hn::Repartition<uint64_t, BlockBytes> d64;
  const auto bytes = hn::BitCast(d, Fours<kStride, kOffset>(blocks));
  // Byte 0 for eight bytes, byte 1 for the next eight; and bytes 2 and 3.
  const auto low = hn::Dup128VecFromValues(d64, 0, 0x0101010101010101u);
  const auto two = hn::Set(d, uint8_t{2});
  first = hn::TableLookupBytes(bytes, hn::BitCast(d, low));
  second = hn::TableLookupBytes(bytes, hn::Add(hn::BitCast(d, low), two));
}

#endif  // VBMI

// `nibbles` with a fifth bit where `bits`, see BytesOfBits(), has that byte's.
HWY_INLINE ByteLanes WithFifthBit(ByteLanes nibbles, ByteLanes bits) {
  const BlockBytes d;
  const auto each =
      hn::BitCast(d, hn::Set(hn::Repartition<uint64_t, BlockBytes>(), 0x8040201008040201u));
  const auto is_set = hn::TestBit(bits, each);
  return hn::Or(nibbles, hn::IfThenElseZero(is_set, hn::Set(d, uint8_t{16})));
}
#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_BLOCK_LANES_INL_H_
