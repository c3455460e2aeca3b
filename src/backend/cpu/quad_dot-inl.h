// Sums of four products of bytes in every 32-bit lane, exact on every target.
#if defined(SPARK_BACKEND_CPU_QUAD_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_QUAD_DOT_INL_H_
#undef SPARK_BACKEND_CPU_QUAD_DOT_INL_H_
#else
#define SPARK_BACKEND_CPU_QUAD_DOT_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "backend/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Range of a weight's unsigned bytes: up to 63 or up to 255. Activations are in [-127, 127].
enum class Bytes { kSmall, kWide };

// x86 has an instruction for unsigned times signed bytes (AVX-512 VNNI), so that is the form that
// weights have. Elsewhere wide bytes are taken as signed, q - 128: the sum that this leaves out
// equals minus the offset of types with such bytes, which then must not be added again.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
inline constexpr bool kNativeUnsigned = true;
#else
inline constexpr bool kNativeUnsigned = false;
#endif
template <Bytes kBytes>
inline constexpr bool kOffsetInDot = kBytes == Bytes::kWide && !kNativeUnsigned;

// Where an instruction makes sums of two products of bytes as words (not the targets above), words
// also add up those of further quads, and are widened once: of two quads of bytes below 64,
// 4 · 63 · 127 < 2^15, and of many more if what they begin with is minus a centre of the bytes
// times the activations (StartWords): words that wrap around on the way are right in the end.
inline constexpr bool kSumsInWords =
    HWY_ARCH_X86 && !kNativeUnsigned && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128;

#if HWY_TARGET == HWY_SCALAR

template <Bytes kBytes, class DI, class V = hn::Vec<DI>>
HWY_INLINE V QuadDot(DI di, const uint8_t* w, const int8_t* x, V sum) {
  int32_t dot = 0;
  for (size_t i = 0; i < 4; ++i) dot += (w[i] - (kOffsetInDot<kBytes> ? 128 : 0)) * x[i];
  return hn::Add(sum, hn::Set(di, dot));
}

// One lane: its four bytes are all there are.
template <Bytes kBytes, class DI, class V = hn::Vec<DI>>
HWY_INLINE V QuadDotBroadcast(DI di, const uint8_t* w, const int8_t* x, V sum) {
  return QuadDot<kBytes>(di, w, x, sum);
}

// See below.
template <class DI>
HWY_INLINE hn::Vec<DI> StartSums(DI di, const int16_t* pair_sums, int16_t centre) {
  return hn::Set(di, -centre * (pair_sums[0] + pair_sums[1]));
}
HWY_INLINE void SumPairs(const int8_t* q, size_t quads, int16_t* pair_sums) {
  pair_sums[0] = pair_sums[1] = 0;
  for (size_t i = 0; i < 4 * quads; ++i) {
    pair_sums[i % 4 / 2] = static_cast<int16_t>(pair_sums[i % 4 / 2] + q[i]);
  }
}

#else

template <Bytes kBytes, class DI, class VU, class VI, class V = hn::Vec<DI>>
HWY_INLINE V QuadDotLanes(DI di, VU w, VI x, V sum) {
  [[maybe_unused]] const hn::Repartition<uint8_t, DI> du8;
  [[maybe_unused]] const hn::Repartition<int8_t, DI> di8;
  [[maybe_unused]] const hn::Repartition<int16_t, DI> di16;
  if constexpr (kNativeUnsigned) {
    return hn::SumOfMulQuadAccumulate(di, w, x, sum);
  } else {
    if constexpr (kBytes == Bytes::kWide) w = hn::Xor(w, hn::Set(du8, uint8_t{128}));
#if HWY_ARCH_X86
    // Pairs go to 16 bits with saturation, which none reaches: 2 · 63 · 127 < 2^15, and wide bytes
    // as |w| times ±x: 2 · 128 · 127 < 2^15.
    if constexpr (kBytes == Bytes::kWide) {
      const auto signed_w = hn::BitCast(di8, w);
      w = hn::BitCast(du8, hn::Abs(signed_w));              // |-128| is 128 as an unsigned byte
      x = hn::IfNegativeThenNegOrUndefIfZero(signed_w, x);  // whatever it is times 0
    }
    const auto pairs = hn::SatWidenMulPairwiseAdd(di16, w, x);
    return hn::Add(sum, hn::WidenMulPairwiseAdd(di, pairs, hn::Set(di16, int16_t{1})));
#else
    return hn::SumOfMulQuadAccumulate(di, hn::BitCast(di8, w), x, sum);
#endif
  }
}

// w and x: 4 · Lanes(di) bytes each.
template <Bytes kBytes, class DI, class V = hn::Vec<DI>>
HWY_INLINE V QuadDot(DI di, const uint8_t* w, const int8_t* x, V sum) {
  const hn::Repartition<uint8_t, DI> du8;
  const hn::Repartition<int8_t, DI> di8;
  return QuadDotLanes<kBytes>(di, hn::LoadU(du8, w), hn::LoadU(di8, x), sum);
}

// The same with w[0..3] in every lane.
template <Bytes kBytes, class DI, class V = hn::Vec<DI>>
HWY_INLINE V QuadDotBroadcast(DI di, const uint8_t* w, const int8_t* x, V sum) {
  const hn::Repartition<uint8_t, DI> du8;
  const hn::Repartition<int8_t, DI> di8;
  int32_t four;
  std::memcpy(&four, w, sizeof(four));
  return QuadDotLanes<kBytes>(di, hn::BitCast(du8, hn::Set(di, four)), hn::LoadU(di8, x), sum);
}

// sums += those of QuadDotLanes().
template <Bytes kBytes, class DI, class VU, class VI>
HWY_INLINE void AddQuadDot(DI di, VU w, VI x, IntSums<DI>& sums) {
  sums = ToSums(di, QuadDotLanes<kBytes>(di, w, x, FromSums(di, sums)));
}

// Sums of two quads, w0 with x0 and w1 with x1.
template <Bytes kBytes, class DI, class VU, class VI>
HWY_INLINE hn::Vec<DI> TwoQuadDots(DI di, VU w0, VI x0, VU w1, VI x1) {
  if constexpr (kBytes == Bytes::kSmall && kSumsInWords) {
    const hn::RepartitionToNarrow<DI> d16;
    const auto pairs =
        hn::Add(hn::SatWidenMulPairwiseAdd(d16, w0, x0), hn::SatWidenMulPairwiseAdd(d16, w1, x1));
    return hn::WidenMulPairwiseAdd(di, pairs, hn::Set(d16, int16_t{1}));
  } else {
    return QuadDotLanes<kBytes>(di, w1, x1, QuadDotLanes<kBytes>(di, w0, x0, hn::Zero(di)));
  }
}

// Sums of the first two and of the last two bytes of all quads of a lane. q: [quads, Lanes(di), 4],
// pair_sums: [Lanes(di), 2]
inline void SumPairs(const int8_t* q, size_t quads, int16_t* pair_sums) {
  const hn::RebindToSigned<FloatTag> di;
  const hn::RepartitionToNarrow<decltype(di)> d16;
  const hn::Repartition<uint8_t, decltype(di)> du8;
  const hn::Repartition<int8_t, decltype(di)> di8;
  auto sum = hn::Zero(d16);
  for (size_t i = 0; i < quads; ++i, q += hn::Lanes(di8)) {
    const auto ones = hn::Set(du8, uint8_t{1});
    sum = hn::Add(sum, hn::SatWidenMulPairwiseAdd(d16, ones, hn::LoadU(di8, q)));
  }
  hn::StoreU(sum, d16, pair_sums);
}

// Minus centre times the activations whose sums these are: with it, sums of products come out as
// those of (weight - centre).
template <class DI>
HWY_INLINE hn::Vec<DI> StartSums(DI di, const int16_t* pair_sums, int16_t centre) {
  const hn::RepartitionToNarrow<DI> d16;
  const auto factor = hn::Set(d16, static_cast<int16_t>(-centre));
  return hn::WidenMulPairwiseAdd(di, hn::LoadU(d16, pair_sums), factor);
}
// The same in words, modulo 2^16.
template <class D16>
HWY_INLINE hn::Vec<D16> StartWords(D16 d16, const int16_t* pair_sums, int16_t centre) {
  return hn::Mul(hn::LoadU(d16, pair_sums), hn::Set(d16, static_cast<int16_t>(-centre)));
}

// Products of four weights at w, which are below 64, with four activations a lane, added as words:
// of two products each.
template <class DI>
HWY_INLINE void AddPairDotsBroadcast(DI, const uint8_t* w, const int8_t* x,
                                     IntSums<hn::RepartitionToNarrow<DI>>& sums) {
  const hn::RepartitionToNarrow<DI> d16;
  const hn::Repartition<uint8_t, DI> du8;
  const hn::Repartition<int8_t, DI> di8;
  int32_t four;
  std::memcpy(&four, w, sizeof(four));
  const auto weights = hn::BitCast(du8, hn::Set(DI(), four));
  const auto pairs = hn::SatWidenMulPairwiseAdd(d16, weights, hn::LoadU(di8, x));
  sums = ToSums(d16, hn::Add(FromSums(d16, sums), pairs));
}

#endif  // HWY_TARGET == HWY_SCALAR

// sums += those of QuadDotBroadcast().
template <Bytes kBytes, class DI>
HWY_INLINE void AddQuadDotBroadcast(DI di, const uint8_t* w, const int8_t* x, IntSums<DI>& sums) {
  sums = ToSums(di, QuadDotBroadcast<kBytes>(di, w, x, FromSums(di, sums)));
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_QUAD_DOT_INL_H_
