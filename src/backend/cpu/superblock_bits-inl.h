// Where the bits of superblocks are, and how they come into place in the vectors of
// block_lanes-inl.h.
#if defined(SPARK_BACKEND_CPU_SUPERBLOCK_BITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_SUPERBLOCK_BITS_INL_H_
#undef SPARK_BACKEND_CPU_SUPERBLOCK_BITS_INL_H_
#else
#define SPARK_BACKEND_CPU_SUPERBLOCK_BITS_INL_H_
#endif

#include <array>
#include <cstdint>

#include "backend/cpu/block_lanes-inl.h"
#include "backend/dequantize.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && !(HWY_TARGET & HWY_ALL_SVE)

constexpr size_t kSuper = 256;

// One of these for some bits of all elements. Those of run r, elements 32 r … 32 r + 31, are in 32
// bytes from Base(r) on, Right(r) bits above where the element has them (below, if negative).

// A half of a byte in every 32 bytes: low for even runs, high for odd ones.
struct NibblesOf64 {
  static constexpr size_t Base(size_t r) { return r / 2 * 32; }
  static constexpr int Right(size_t r) { return static_cast<int>(r % 2 * 4); }
};
// Low halves of 64 bytes for two runs, high halves for the next two.
struct NibblesOf128 {
  static constexpr size_t Base(size_t r) { return r / 4 * 64 + r % 2 * 32; }
  static constexpr int Right(size_t r) { return static_cast<int>(r % 4 / 2 * 4); }
};
// Two bits in every 32 bytes for four runs, bits kPlace and following of the element.
template <int kPlace>
struct PairsOf128 {
  static constexpr size_t Base(size_t r) { return r / 4 * 32; }
  static constexpr int Right(size_t r) { return static_cast<int>(r % 4 * 2) - kPlace; }
};
// A bit of the same 32 bytes for each run, bit kPlace of the element.
template <int kPlace>
struct BitOf8 {
  static constexpr size_t Base(size_t) { return 0; }
  static constexpr int Right(size_t r) { return static_cast<int>(r) - kPlace; }
};

// Bytes shifted as parts of larger lanes: what comes in from a neighbour is for the caller to mask.
template <int kRight>
HWY_INLINE ByteLanes Shifted(ByteLanes bytes) {
  const BlockBytes d;
  const hn::Repartition<uint16_t, BlockBytes> d16;
  if constexpr (kRight > 0) {
    return hn::BitCast(d, hn::ShiftRight<kRight>(hn::BitCast(d16, bytes)));
  } else if constexpr (kRight < 0) {
    return hn::BitCast(d, hn::ShiftLeft<-kRight>(hn::BitCast(d16, bytes)));
  } else {
    return bytes;
  }
}

template <int kFirst, int kSecond>
struct ShiftAmounts {
  static constexpr std::array<uint32_t, 4 * kUnits> Make() {
    std::array<uint32_t, 4 * kUnits> amounts{};
    for (size_t i = 0; i < 4 * kUnits; ++i) {
      const int amount = i < 2 * kUnits ? kFirst : kSecond;
      amounts[i] = static_cast<uint32_t>(amount < 0 ? -amount : amount);
    }
    return amounts;
  }
  alignas(64) static constexpr std::array<uint32_t, 4 * kUnits> kAmounts = Make();
};

// The same, the two halves of a vector by different amounts in one direction.
template <int kFirst, int kSecond>
HWY_INLINE ByteLanes ShiftedHalves(ByteLanes bytes) {
  if constexpr (kFirst == kSecond) {
    return Shifted<kFirst>(bytes);
  } else {
    static_assert((kFirst >= 0 && kSecond >= 0) || (kFirst <= 0 && kSecond <= 0));
    const BlockBytes d;
    const hn::Repartition<uint32_t, BlockBytes> d32;
    const auto amounts = hn::Load(d32, ShiftAmounts<kFirst, kSecond>::kAmounts.data());
    const auto wide = hn::BitCast(d32, bytes);
    return hn::BitCast(d, kFirst + kSecond > 0 ? hn::Shr(wide, amounts) : hn::Shl(wide, amounts));
  }
}

// Bits of elements kVector · kUnits · 16 and following, and bits of others around them.
template <class Field, size_t kVector>
HWY_INLINE ByteLanes FieldOf(const uint8_t* p) {
  const BlockBytes d;
  constexpr size_t kRun = kVector * kUnits / 2;
  if constexpr (kUnits < 4) {
    constexpr size_t kHalf = kUnits == 1 ? kVector % 2 * 16 : 0;
    return Shifted<Field::Right(kRun)>(hn::LoadU(d, p + Field::Base(kRun) + kHalf));
  } else {
    const hn::Half<BlockBytes> dh;
    constexpr size_t kFirst = Field::Base(kRun), kSecond = Field::Base(kRun + 1);
    ByteLanes bytes;
    if constexpr (kSecond == kFirst + 32) {
      bytes = hn::LoadU(d, p + kFirst);
    } else {
      bytes = hn::Combine(d, hn::LoadU(dh, p + kSecond), hn::LoadU(dh, p + kFirst));
    }
    return ShiftedHalves<Field::Right(kRun), Field::Right(kRun + 1)>(bytes);
  }
}

// The same for groups of 32 in 16 bytes, low halves of bytes first.
template <size_t kVector>
HWY_INLINE ByteLanes NibblesOf32(const uint8_t* p) {
  const BlockBytes d;
  if constexpr (kUnits == 1) {
    return Shifted<kVector % 2 * 4>(hn::LoadU(d, p + kVector / 2 * 16));
  } else if constexpr (kUnits == 2) {
    return ShiftedHalves<0, 4>(hn::LoadDup128(d, p + kVector * 16));
  } else {
    // 64-bit lanes 0 1 0 1 2 3 2 3 of 32 bytes; high halves for the second and the fourth pair.
    const hn::Half<BlockBytes> dh;
    const hn::Repartition<uint64_t, BlockBytes> d64;
    alignas(64) static constexpr uint64_t kOrder[8] = {0, 1, 0, 1, 2, 3, 2, 3};
    alignas(64) static constexpr uint64_t kAmounts[8] = {0, 0, 4, 4, 0, 0, 4, 4};
    const auto both = hn::ResizeBitCast(d64, hn::LoadU(dh, p + kVector * 32));
    const auto spread = hn::TableLookupLanes(both, hn::SetTableIndices(d64, kOrder));
    return hn::BitCast(d, hn::Shr(spread, hn::Load(d64, kAmounts)));
  }
}

// The values of 4-bit codes, plus 128.
HWY_INLINE ByteLanes IQ4Table() {
  const BlockBytes d;
  const auto values = hn::LoadU(Unit(), reinterpret_cast<const uint8_t*>(kIQ4Values.data()));
  const auto table = hn::BroadcastBlock<0>(hn::ResizeBitCast(d, values));
  return hn::Xor(table, hn::Set(d, uint8_t{128}));
}

// In which group lane i of a vector of kLanes is, the vector's first group being kFirst.
template <size_t kGroup, size_t kFirst, size_t kLanes>
struct GroupOfLane {
  static constexpr std::array<int32_t, kLanes> Make() {
    std::array<int32_t, kLanes> groups{};
    for (size_t i = 0; i < kLanes; ++i) groups[i] = static_cast<int32_t>(kFirst + 4 * i / kGroup);
    return groups;
  }
  alignas(64) static constexpr std::array<int32_t, kLanes> kGroups = Make();
};

// values[g], g the group of each lane of vector kVector. values: [kSuper / kGroup], aligned.
template <size_t kGroup, size_t kVector>
HWY_INLINE FloatLanes OfGroups(const float* values) {
  const BlockFloats df;
  constexpr size_t kFirst = kVector * 16 * kUnits / kGroup;
  if constexpr (16 * kUnits <= kGroup) {
    return hn::Set(df, values[kFirst]);
  } else if constexpr (kUnits < 4) {
    const hn::Half<BlockFloats> dh;
    return hn::Combine(df, hn::Set(dh, values[kFirst + 1]), hn::Set(dh, values[kFirst]));
  } else {
    const hn::FixedTag<float, kSuper / kGroup> dg;
    const auto index =
        hn::SetTableIndices(df, GroupOfLane<kGroup, kFirst, 4 * kUnits>::kGroups.data());
    return hn::TableLookupLanes(hn::ResizeBitCast(df, hn::Load(dg, values)), index);
  }
}

// Integers of groups, some bits here and some there, by arithmetic in whole words.

HWY_INLINE void StoreWords(uint64_t first, uint64_t second, uint8_t* out) {
  const hn::FixedTag<uint64_t, 2> d;
  const auto words = hn::InterleaveLower(d, hn::Set(d, first), hn::Set(d, second));
  hn::Store(hn::BitCast(Unit(), words), Unit(), out);  // one store, as what reads it is one load
}

// Eight scales of 6 bits, then eight minima, from 12 bytes: those of groups 0..3 in the low bits of
// bytes 0..3 and 4..7; those of groups 4..7 in the halves of bytes 8..11, their top two bits in the
// top bits of bytes 0..3 and 4..7.
HWY_INLINE void SixBitPairs(const uint8_t* in, uint8_t* out) {
  const auto scales = ReadAs<uint32_t>(in), minima = ReadAs<uint32_t>(in + 4);
  const auto low = ReadAs<uint32_t>(in + 8);
  const auto join = [](uint32_t first, uint32_t second) { return uint64_t{second} << 32 | first; };
  const auto six = [](uint32_t bytes) { return bytes & 0x3f3f3f3fu; };
  const auto top = [](uint32_t bytes) { return (bytes >> 2) & 0x30303030u; };
  StoreWords(join(six(scales), (low & 0x0f0f0f0fu) | top(scales)),
             join(six(minima), ((low >> 4) & 0x0f0f0f0fu) | top(minima)), out);
}

// Sixteen of 6 bits, minus 32, from 12 bytes: the low four bits in the halves of bytes 0..7, the
// top two of g, g + 4, g + 8, g + 12 (g < 4) in byte 8 + g.
HWY_INLINE void SixBitScales16(const uint8_t* in, uint8_t* out) {
  const auto low = ReadAs<uint64_t>(in);
  const uint64_t top = ReadAs<uint32_t>(in + 8);
  const uint64_t top01 = (top | top << 30) & 0x0303030303030303u;
  const uint64_t top23 = (top >> 4 | top << 26) & 0x0303030303030303u;
  const auto minus_32 = [](uint64_t low4, uint64_t top2) {
    // Byte by byte, without borrows: bytes are less than 64, so 128 + byte - 32 stays positive.
    const uint64_t bytes = (low4 & 0x0f0f0f0f0f0f0f0fu) | top2 << 4;
    return (bytes + 0x6060606060606060u) ^ 0x8080808080808080u;
  };
  StoreWords(minus_32(low, top01), minus_32(low >> 4, top23), out);
}

// Eight of 6 bits, minus 32: their top two bits in bytes 0..1, their low four in the halves of
// bytes 2..5.
HWY_INLINE void SixBitScales8(const uint8_t* in, uint8_t* out) {
  uint64_t top = ReadAs<uint16_t>(in);
  top = (top | top << 24) & 0x000000ff000000ffu;
  top = (top | top << 12) & 0x000f000f000f000fu;
  top = (top | top << 6) & 0x0303030303030303u;
  uint64_t low = ReadAs<uint32_t>(in + 2);
  low = (low | low << 16) & 0x0000ffff0000ffffu;
  low = (low | low << 8) & 0x00ff00ff00ff00ffu;
  low = (low | low << 4) & 0x0f0f0f0f0f0f0f0fu;
  const uint64_t bytes = ((low | top << 4) + 0x6060606060606060u) ^ 0x8080808080808080u;
  StoreWords(bytes, 0, out);
}

#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_SUPERBLOCK_BITS_INL_H_
