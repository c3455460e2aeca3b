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

// Of how many quads in a row a lane's products of pairs fit in a word, where an instruction makes
// such words (not the targets above): 2 · 15 · 127 · 8 < 2^15 for weights of four bits, 4 for five
// and 2 for six. So many need to be widened only once.
template <size_t kBits>
inline constexpr size_t kQuadsInWords =
    !HWY_ARCH_X86 || kNativeUnsigned || HWY_TARGET == HWY_SCALAR || kBits > 6
        ? 1
        : size_t{1} << (7 - HWY_MIN(kBits, 6));

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
  if constexpr (kBytes == Bytes::kSmall && kQuadsInWords<6> >= 2) {
    const hn::RepartitionToNarrow<DI> d16;
    const auto pairs =
        hn::Add(hn::SatWidenMulPairwiseAdd(d16, w0, x0), hn::SatWidenMulPairwiseAdd(d16, w1, x1));
    return hn::WidenMulPairwiseAdd(di, pairs, hn::Set(d16, int16_t{1}));
  } else {
    return QuadDotLanes<kBytes>(di, w1, x1, QuadDotLanes<kBytes>(di, w0, x0, hn::Zero(di)));
  }
}

// Products of four weights at w, which are below 64, with four activations a lane, added as words:
// of two products each. How many there is room for: kQuadsInWords.
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
// sums += what words have.
template <class DI>
HWY_INLINE void AddWords(DI di, IntSums<hn::RepartitionToNarrow<DI>> words, IntSums<DI>& sums) {
  const hn::RepartitionToNarrow<DI> d16;
  const auto widened = hn::WidenMulPairwiseAdd(di, FromSums(d16, words), hn::Set(d16, int16_t{1}));
  sums = ToSums(di, hn::Add(FromSums(di, sums), widened));
}

#endif  // HWY_TARGET == HWY_SCALAR

template <Bytes kBytes, class DI>
HWY_INLINE void AddQuadDotBroadcast(DI di, const uint8_t* w, const int8_t* x, IntSums<DI>& sums) {
  sums = ToSums(di, QuadDotBroadcast<kBytes>(di, w, x, FromSums(di, sums)));
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_QUAD_DOT_INL_H_
