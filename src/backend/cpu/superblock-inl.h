// Products of superblocks of 256 weights (K types, iq4_xs) with activations. Elements keep their
// order: a vector holds kUnits · 16 consecutive ones, the activations are read as they lie.
#if defined(SPARK_BACKEND_CPU_SUPERBLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_SUPERBLOCK_INL_H_
#undef SPARK_BACKEND_CPU_SUPERBLOCK_INL_H_
#else
#define SPARK_BACKEND_CPU_SUPERBLOCK_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backend/cpu/block_lanes-inl.h"
#include "backend/cpu/int_matmul.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/superblock_bits-inl.h"
#include "backend/cpu/weight_memory-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && !(HWY_TARGET & HWY_ALL_SVE)

// 256 activations. Scales and sums (times scale) of their groups, for weights with groups of 16 and
// of 32.
struct alignas(64) SuperStrip {
  int8_t q[kSuper];
  float scales16[16], sums16[16], scales32[8], sums32[8];

  template <size_t kGroup>
  const float* scales() const {
    return kGroup == 16 ? scales16 : scales32;
  }
  template <size_t kGroup>
  const float* sums() const {
    return kGroup == 16 ? sums16 : sums32;
  }
};

// x has groups of 16.
inline void MakeSuperStrips(const QuantizedRow& x, size_t cols, std::byte* out) {
  auto* strips = reinterpret_cast<SuperStrip*>(out);
  for (size_t b = 0; b < cols / kSuper; ++b) {
    SuperStrip& strip = strips[b];
    std::memcpy(strip.q, x.q + b * kSuper, kSuper);
    std::copy_n(x.scales + 16 * b, 16, strip.scales16);
    std::copy_n(x.sums + 16 * b, 16, strip.sums16);
    for (size_t g = 0; g < 8; ++g) {
      strip.scales32[g] = strip.scales16[2 * g];
      strip.sums32[g] = strip.sums16[2 * g] + strip.sums16[2 * g + 1];
    }
  }
}

// One of these a type. Codes<v>(): bytes v · kUnits · 16 and following of a superblock. Weights are
// scale · code + offset, as unpack.h defines them; the scale is d times an integer of its group,
// the offset either -dmin times another one or -kZero times the scale. Integers() gives these
// integers, as bytes: 16 or (kGroup 32) 8 for the scales, in types with minima followed by as many
// of them.

struct Q4_KBlocks {
  static constexpr size_t kElements = kSuper, kBytes = 144, kGroup = 32,
                          kScale = 0;  // kScale: where d is
  static constexpr float kZero = 1;
  static constexpr bool kMinima = true;  // dmin follows d
  static constexpr Bytes kRange = Bytes::kSmall;
  using Integer = uint8_t;

  static HWY_INLINE void Integers(const uint8_t* block, uint8_t* out) {
    SixBitPairs(block + 4, out);
  }
  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    return hn::And(FieldOf<NibblesOf64, kVector>(block + 16), hn::Set(BlockBytes(), uint8_t{15}));
  }
};

struct Q5_KBlocks : Q4_KBlocks {
  static constexpr size_t kBytes = 176;

  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    const BlockBytes d;
    const auto low = hn::And(FieldOf<NibblesOf64, kVector>(block + 48), hn::Set(d, uint8_t{15}));
    return hn::OrAnd(low, FieldOf<BitOf8<4>, kVector>(block + 16), hn::Set(d, uint8_t{16}));
  }
};

struct Q6_KBlocks {
  static constexpr size_t kElements = kSuper, kBytes = 210, kGroup = 16, kScale = 208;
  static constexpr float kZero = 32;
  static constexpr bool kMinima = false;
  static constexpr Bytes kRange = Bytes::kSmall;
  using Integer = int8_t;

  static HWY_INLINE void Integers(const uint8_t* block, uint8_t* out) {
    std::memcpy(out, block + 192, 16);
  }
  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    const BlockBytes d;
    const auto low = hn::And(FieldOf<NibblesOf128, kVector>(block), hn::Set(d, uint8_t{15}));
    return hn::OrAnd(low, FieldOf<PairsOf128<4>, kVector>(block + 128), hn::Set(d, uint8_t{48}));
  }
};

struct Q2_KBlocks {
  static constexpr size_t kElements = kSuper, kBytes = 84, kGroup = 16, kScale = 80;
  static constexpr float kZero = 1;
  static constexpr bool kMinima = true;
  static constexpr Bytes kRange = Bytes::kSmall;
  using Integer = uint8_t;

  static HWY_INLINE void Integers(const uint8_t* block, uint8_t* out) {
    const Unit d;
    const auto both = hn::LoadU(d, block);
    hn::Store(hn::And(both, hn::Set(d, uint8_t{15})), d, out);
    hn::Store(hn::ShiftRight<4>(both), d, out + 16);
  }
  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    return hn::And(FieldOf<PairsOf128<0>, kVector>(block + 16), hn::Set(BlockBytes(), uint8_t{3}));
  }
};

struct Q3_KBlocks {
  static constexpr size_t kElements = kSuper, kBytes = 110, kGroup = 16, kScale = 108;
  static constexpr float kZero = 4;
  static constexpr bool kMinima = false;
  static constexpr Bytes kRange = Bytes::kSmall;
  using Integer = int8_t;

  static HWY_INLINE void Integers(const uint8_t* block, uint8_t* out) {
    SixBitScales16(block + 96, out);
  }
  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    const BlockBytes d;
    const auto low = hn::And(FieldOf<PairsOf128<0>, kVector>(block + 32), hn::Set(d, uint8_t{3}));
    return hn::OrAnd(low, FieldOf<BitOf8<2>, kVector>(block), hn::Set(d, uint8_t{4}));
  }
};

struct IQ4_XSBlocks {
  static constexpr size_t kElements = kSuper, kBytes = 136, kGroup = 32, kScale = 0;
  static constexpr float kZero = 128;
  static constexpr bool kMinima = false;
  static constexpr Bytes kRange = Bytes::kWide;
  using Integer = int8_t;

  static HWY_INLINE void Integers(const uint8_t* block, uint8_t* out) {
    SixBitScales8(block + 2, out);
  }
  template <size_t kVector>
  static HWY_INLINE ByteLanes Codes(const uint8_t* block) {
    const auto nibbles =
        hn::And(NibblesOf32<kVector>(block + 8), hn::Set(BlockBytes(), uint8_t{15}));
    return hn::TableLookupBytes(IQ4Table(), nibbles);
  }
};

// Floats of a superblock's groups, as many as fit a vector.
template <size_t kGroup>
inline constexpr size_t kGroupLanes = HWY_MIN(4 * kUnits, kSuper / kGroup);
template <size_t kGroup>
using GroupFloats = hn::FixedTag<float, kGroupLanes<kGroup>>;

// products[g] = scale of the weights' group g times that of the activations', and what offsets add:
// -kZero times the sum of the lanes of `offsets` in the end.
template <class Blocks, class V = hn::Vec<GroupFloats<Blocks::kGroup>>>
HWY_INLINE void ScalesAndOffsets(const uint8_t* block, const SuperStrip& x, float* products,
                                 V& offsets) {
  constexpr size_t kGroups = kSuper / Blocks::kGroup;
  using Integer = typename Blocks::Integer;
  const GroupFloats<Blocks::kGroup> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<Integer, decltype(df)> d8;
  HWY_ALIGN uint8_t bytes[32];
  Blocks::Integers(block, bytes);
  const auto* integers = reinterpret_cast<const Integer*>(bytes);
  const auto floats = [&](size_t i) HWY_ATTR {
    return hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, integers + i)));
  };
  const V scale = hn::Set(df, HalfAt(block + Blocks::kScale));
  for (size_t g = 0; g < kGroups; g += hn::Lanes(df)) {
    const V t = hn::Mul(floats(g), scale);
    hn::Store(hn::Mul(t, hn::Load(df, x.scales<Blocks::kGroup>() + g)), df, products + g);
    if constexpr (!Blocks::kMinima && !kOffsetInDot<Blocks::kRange>) {
      offsets = hn::MulAdd(t, hn::Load(df, x.sums<Blocks::kGroup>() + g), offsets);
    }
  }
  if constexpr (Blocks::kMinima) {
    const V minimum = hn::Set(df, HalfAt(block + Blocks::kScale + 2));
    for (size_t g = 0; g < kGroups; g += hn::Lanes(df)) {
      const V t = hn::Mul(floats(kGroups + g), minimum);
      offsets = hn::MulAdd(t, hn::Load(df, x.sums<Blocks::kGroup>() + g), offsets);
    }
  }
}

// Adds vectors kVector, … of a superblock to two sums in turn. Where vectors are shorter than
// groups, the integers of two of them are added first.
template <class Blocks, size_t kVector = 0>
HWY_INLINE void AddVectors(const uint8_t* block, const SuperStrip& x, const float* products,
                           FloatLanes& sum0, FloatLanes& sum1) {
  constexpr size_t kVectorBytes = 16 * kUnits;
  if constexpr (kVector < kSuper / kVectorBytes) {
    const BlockChars d8;
    const BlockInts di;
    const BlockFloats df;
    constexpr bool kPair = kVectorBytes < Blocks::kGroup;
    const int8_t* q = x.q + kVector * kVectorBytes;
    IntLanes dot = QuadDotLanes<Blocks::kRange>(di, Blocks::template Codes<kVector>(block),
                                                hn::Load(d8, q), hn::Zero(di));
    if constexpr (kPair) {
      dot = QuadDotLanes<Blocks::kRange>(di, Blocks::template Codes<kVector + 1>(block),
                                         hn::Load(d8, q + kVectorBytes), dot);
    }
    const FloatLanes scale = OfGroups<Blocks::kGroup, kVector>(products);
    sum0 = hn::MulAdd(hn::ConvertTo(df, dot), scale, sum0);
    AddVectors<Blocks, kVector + (kPair ? 2 : 1)>(block, x, products, sum1, sum0);
  }
}

template <class Blocks>
HWY_INLINE FloatLanes SuperRowSum(const uint8_t* row, size_t cols, const std::byte* strips) {
  const BlockFloats df;
  const GroupFloats<Blocks::kGroup> dg;
  const auto* x = reinterpret_cast<const SuperStrip*>(strips);
  FloatLanes sum0 = hn::Zero(df), sum1 = sum0;
  auto offsets = hn::Zero(dg);
  for (size_t b = 0; b < cols / kSuper; ++b, row += Blocks::kBytes) {
    PrefetchAhead<Blocks::kBytes>(row);
    HWY_ALIGN float products[kSuper / Blocks::kGroup];
    ScalesAndOffsets<Blocks>(row, x[b], products, offsets);
    AddVectors<Blocks>(row, x[b], products, sum0, sum1);
  }
  const FloatLanes sum = hn::Add(sum0, sum1);
  if constexpr (!Blocks::kMinima && kOffsetInDot<Blocks::kRange>) return sum;
  return hn::NegMulAdd(hn::ZeroExtendResizeBitCast(df, dg, offsets), hn::Set(df, Blocks::kZero),
                       sum);
}

#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_SUPERBLOCK_INL_H_
