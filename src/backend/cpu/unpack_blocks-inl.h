// Blocks of each quantised type to the canonical form of unpack.h. Included by foreach_target
// modules only, hence the toggled include guard.
#if defined(SPARK_BACKEND_CPU_UNPACK_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_UNPACK_BLOCKS_INL_H_
#undef SPARK_BACKEND_CPU_UNPACK_BLOCKS_INL_H_
#else
#define SPARK_BACKEND_CPU_UNPACK_BLOCKS_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backend/cpu/lanes-inl.h"
#include "backend/dequantize.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ByteTag = hn::CappedTag<uint8_t, 16>;
using ByteVec = hn::Vec<ByteTag>;

// Calls body(d, i) for every vector of bytes in [0, kBytes), a power of two; d is its tag.
template <size_t kBytes, class Body>
HWY_INLINE void ForBytes(const Body& body) {
  const hn::CappedTag<uint8_t, kBytes> d;
  for (size_t i = 0; i < kBytes; i += hn::Lanes(d)) body(d, i);
}

// 16 where bit i, i+1, … of `bits` is set, else 0, as bytes.
HWY_INLINE ByteVec FifthBits(const uint8_t* bits, size_t i) {
  const ByteTag d;
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(d, static_cast<uint8_t>(((bits[i / 8] >> (i % 8)) & 1) << 4));
#else
  return hn::IfThenElseZero(hn::LoadMaskBits(d, bits + i / 8), hn::Set(d, uint8_t{16}));
#endif
}

// A block of 32 4-bit elements: byte i holds element i in its low and i + 16 in its high half.
HWY_INLINE void UnpackNibbles(const uint8_t* in, uint8_t* q) {
  ForBytes<16>([&](auto d, size_t i) HWY_ATTR {
    const auto both = hn::LoadU(d, in + i);
    hn::StoreU(hn::And(both, hn::Set(d, uint8_t{15})), d, q + i);
    hn::StoreU(hn::ShiftRight<4>(both), d, q + 16 + i);
  });
}

// The same with places in kIQ4Values: byte + 128 of each.
HWY_INLINE void UnpackIQ4(const uint8_t* in, uint8_t* q) {
  ForBytes<16>([&](auto d, size_t i) HWY_ATTR {
#if HWY_TARGET == HWY_SCALAR
    const auto value = [&](int place) HWY_ATTR {
      return hn::Set(d, static_cast<uint8_t>(kIQ4Values[static_cast<size_t>(place)] + 128));
    };
    hn::StoreU(value(in[i] & 15), d, q + i);
    hn::StoreU(value(in[i] >> 4), d, q + 16 + i);
#else
    const auto table = hn::Xor(hn::LoadU(d, reinterpret_cast<const uint8_t*>(kIQ4Values.data())),
                               hn::Set(d, uint8_t{128}));
    const auto both = hn::LoadU(d, in + i);
    hn::StoreU(hn::TableLookupBytes(table, hn::And(both, hn::Set(d, uint8_t{15}))), d, q + i);
    hn::StoreU(hn::TableLookupBytes(table, hn::ShiftRight<4>(both)), d, q + 16 + i);
#endif
  });
}

// Signed bytes, plus 128.
template <size_t kBytes>
HWY_INLINE void FlipSigns(const uint8_t* in, uint8_t* q) {
  ForBytes<kBytes>([&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Xor(hn::LoadU(d, in + i), hn::Set(d, uint8_t{128})), d, q + i);
  });
}

HWY_INLINE void UnpackFiveBits(const uint8_t* high, const uint8_t* in, uint8_t* q) {
  ForBytes<16>([&](auto d, size_t i) HWY_ATTR {
    const auto both = hn::LoadU(d, in + i);
    const auto lower = hn::And(both, hn::Set(d, uint8_t{15}));
    hn::StoreU(hn::Or(lower, FifthBits(high, i)), d, q + i);
    hn::StoreU(hn::Or(hn::ShiftRight<4>(both), FifthBits(high, 16 + i)), d, q + 16 + i);
  });
}

// One function a type: block `in` to `q`, and the groups' scales and offsets.

HWY_INLINE void UnpackQ8_0(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = -128.0f * *scale;
  FlipSigns<32>(in + 2, q);
}

// q8_K: f32 scale, 256 × i8, then sums that the products here do not need.
HWY_INLINE void UnpackQ8_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  float d;
  std::memcpy(&d, in, sizeof(d));
  std::fill_n(scale, 8, d);
  std::fill_n(offset, 8, -128.0f * d);
  FlipSigns<256>(in + 4, q);
}

HWY_INLINE void UnpackQ4_0(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = -8.0f * *scale;
  UnpackNibbles(in + 2, q);
}

HWY_INLINE void UnpackQ4_1(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = HalfAt(in + 2);
  UnpackNibbles(in + 4, q);
}

HWY_INLINE void UnpackQ5_0(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = -16.0f * *scale;
  UnpackFiveBits(in + 2, in + 6, q);
}

HWY_INLINE void UnpackQ5_1(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = HalfAt(in + 2);
  UnpackFiveBits(in + 4, in + 8, q);
}

// out[i] = d (bytes[i] - zero) for i < kN, a power of two.
template <size_t kN, class Byte>
HWY_INLINE void ScaleBytes(const Byte* bytes, int zero, float d, float* out) {
  const hn::CappedTag<float, kN> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<Byte, decltype(df)> d8;
  for (size_t i = 0; i < kN; i += hn::Lanes(df)) {
    const auto n = hn::Sub(hn::PromoteTo(di, hn::LoadU(d8, bytes + i)), hn::Set(di, zero));
    hn::StoreU(hn::Mul(hn::ConvertTo(df, n), hn::Set(df, d)), df, out + i);
  }
}

// Four bytes at a time: from bit kShift of each byte, `kBits` bits.
template <int kShift, int kBits>
HWY_INLINE uint32_t BitsOf4(uint32_t bytes) {
  return (bytes >> kShift) & (((1u << kBits) - 1) * 0x01010101u);
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: those of groups 0..3 in the low bits of
// bytes 0..3 and 4..7; those of groups 4..7 in the nibbles of bytes 8..11, their top two bits in
// the top bits of bytes 0..3 and 4..7.
HWY_INLINE void UnpackScalesK(const uint8_t* block, float* scale, float* offset) {
  uint32_t s[3];
  std::memcpy(s, block + 4, sizeof(s));
  const uint32_t words[4] = {
      BitsOf4<0, 6>(s[0]), BitsOf4<0, 4>(s[2]) | BitsOf4<6, 2>(s[0]) << 4,   // scales
      BitsOf4<0, 6>(s[1]), BitsOf4<4, 4>(s[2]) | BitsOf4<6, 2>(s[1]) << 4};  // minima
  uint8_t bytes[16];
  std::memcpy(bytes, words, sizeof(bytes));
  ScaleBytes<8>(bytes, 0, HalfAt(block), scale);
  ScaleBytes<8>(bytes + 8, 0, -HalfAt(block + 2), offset);
}

// 256 elements; bytes 32 j … 32 j + 31 hold those of group 2 j and, in the high halves, 2 j + 1.
HWY_INLINE void UnpackQ4_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  UnpackScalesK(in, scale, offset);
  const uint8_t* nibbles = in + 16;
  for (size_t j = 0; j < 4; ++j, nibbles += 32, q += 64) {
    ForBytes<32>([&](auto d, size_t i) HWY_ATTR {
      const auto both = hn::LoadU(d, nibbles + i);
      hn::StoreU(hn::And(both, hn::Set(d, uint8_t{15})), d, q + i);
      hn::StoreU(hn::ShiftRight<4>(both), d, q + 32 + i);
    });
  }
}

// `value` where bit `bit` of a byte is set, else 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V BitTo(D d, V bytes, size_t bit, uint8_t value) {
  const V set = hn::Set(d, static_cast<uint8_t>(1u << bit));
  return hn::IfThenElseZero(hn::TestBit(bytes, set), hn::Set(d, value));
}

// The same, and bit g of `high[i]` is the fifth bit of element i of group g.
HWY_INLINE void UnpackQ5_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  UnpackScalesK(in, scale, offset);
  const uint8_t* high = in + 16;
  const uint8_t* nibbles = in + 48;
  for (size_t j = 0; j < 4; ++j, nibbles += 32, q += 64) {
    ForBytes<32>([&](auto d, size_t i) HWY_ATTR {
      const auto both = hn::LoadU(d, nibbles + i);
      const auto bits = hn::LoadU(d, high + i);
      const auto even = BitTo(d, bits, 2 * j, 16);
      const auto odd = BitTo(d, bits, 2 * j + 1, 16);
      hn::StoreU(hn::Or(hn::And(both, hn::Set(d, uint8_t{15})), even), d, q + i);
      hn::StoreU(hn::Or(hn::ShiftRight<4>(both), odd), d, q + 32 + i);
    });
  }
}

// 256 elements in two halves of 128. In a half, elements i, i + 32, i + 64, i + 96 (i < 32) have
// their low four bits in the halves of bytes i and i + 32, and their top two bits in byte i of
// `high`.
HWY_INLINE void UnpackQ6_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  const float d_all = HalfAt(in + 208);
  const auto* scales = reinterpret_cast<const int8_t*>(in + 192);
  ScaleBytes<16>(scales, 0, d_all, scale);
  ScaleBytes<16>(scales, 0, -32.0f * d_all, offset);
  const uint8_t* low = in;
  const uint8_t* high = in + 128;
  for (size_t half = 0; half < 2; ++half, low += 64, high += 32, q += 128) {
    ForBytes<32>([&](auto d, size_t i) HWY_ATTR {
      const auto nibble = hn::Set(d, uint8_t{15});
      const auto top = hn::Set(d, uint8_t{48});
      const auto a = hn::LoadU(d, low + i);
      const auto b = hn::LoadU(d, low + 32 + i);
      const auto h = hn::LoadU(d, high + i);
      const auto h0 = hn::And(hn::ShiftLeft<4>(h), top);
      const auto h1 = hn::And(hn::ShiftLeft<2>(h), top);
      const auto h3 = hn::And(hn::ShiftRight<2>(h), top);
      hn::StoreU(hn::Or(hn::And(a, nibble), h0), d, q + i);
      hn::StoreU(hn::Or(hn::And(b, nibble), h1), d, q + 32 + i);
      hn::StoreU(hn::Or(hn::ShiftRight<4>(a), hn::And(h, top)), d, q + 64 + i);
      hn::StoreU(hn::Or(hn::ShiftRight<4>(b), h3), d, q + 96 + i);
    });
  }
}

// 256 2-bit elements: in each half of 128, elements i, i + 32, i + 64, i + 96 (i < 32) in byte i.
// add_bits(d, q, j, i) may add bits to a vector of elements from 32 j + i on.
template <class AddBits>
HWY_INLINE void UnpackTwoBits(const uint8_t* in, uint8_t* q, const AddBits& add_bits) {
  for (size_t half = 0; half < 2; ++half, in += 32, q += 128) {
    ForBytes<32>([&](auto d, size_t i) HWY_ATTR {
      const auto three = hn::Set(d, uint8_t{3});
      const auto four = hn::LoadU(d, in + i);
      const auto q1 = hn::And(hn::ShiftRight<2>(four), three);
      const auto q2 = hn::And(hn::ShiftRight<4>(four), three);
      hn::StoreU(add_bits(d, hn::And(four, three), 4 * half, i), d, q + i);
      hn::StoreU(add_bits(d, q1, 4 * half + 1, i), d, q + 32 + i);
      hn::StoreU(add_bits(d, q2, 4 * half + 2, i), d, q + 64 + i);
      hn::StoreU(add_bits(d, hn::ShiftRight<6>(four), 4 * half + 3, i), d, q + 96 + i);
    });
  }
}

// Scales and minima of 4 bits, a pair a byte.
HWY_INLINE void UnpackQ2_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  uint8_t scales[16], minima[16];
  ForBytes<16>([&](auto d, size_t i) HWY_ATTR {
    const auto both = hn::LoadU(d, in + i);
    hn::StoreU(hn::And(both, hn::Set(d, uint8_t{15})), d, scales + i);
    hn::StoreU(hn::ShiftRight<4>(both), d, minima + i);
  });
  ScaleBytes<16>(scales, 0, HalfAt(in + 80), scale);
  ScaleBytes<16>(minima, 0, -HalfAt(in + 82), offset);
  UnpackTwoBits(in + 16, q, [](auto, auto two, size_t, size_t) HWY_ATTR { return two; });
}

// Bit j of high[i] is the third bit of element 32 j + i. Of the 16 6-bit scales, the low four bits
// are in the halves of bytes 0..7, and the top two of scales g, g + 4, g + 8, g + 12 (g < 4) in
// byte 8 + g.
HWY_INLINE void UnpackQ3_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  uint32_t s[3];
  std::memcpy(s, in + 96, sizeof(s));
  const uint32_t words[4] = {BitsOf4<0, 4>(s[0]) | BitsOf4<0, 2>(s[2]) << 4,
                             BitsOf4<0, 4>(s[1]) | BitsOf4<2, 2>(s[2]) << 4,
                             BitsOf4<4, 4>(s[0]) | BitsOf4<4, 2>(s[2]) << 4,
                             BitsOf4<4, 4>(s[1]) | BitsOf4<6, 2>(s[2]) << 4};
  uint8_t scales[16];
  std::memcpy(scales, words, sizeof(scales));
  const float d_all = HalfAt(in + 108);
  ScaleBytes<16>(scales, 32, d_all, scale);
  ScaleBytes<16>(scales, 32, -4.0f * d_all, offset);
  UnpackTwoBits(in + 32, q, [&](auto d, auto two, size_t j, size_t i) HWY_ATTR {
    return hn::Or(two, BitTo(d, hn::LoadU(d, in + i), j, 4));
  });
}

HWY_INLINE void UnpackIQ4_NL(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = -128.0f * *scale;
  UnpackIQ4(in + 2, q);
}

// Eight blocks of 32. Bytes 2..3: the top two bits of the 6-bit scales, bytes 4..7: the low four.
HWY_INLINE void UnpackIQ4_XS(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  const float d_all = HalfAt(in);
  const int top = in[2] | in[3] << 8;
  for (size_t g = 0; g < 8; ++g) {
    const int low = in[4 + g / 2] >> (4 * (g % 2)) & 15;
    scale[g] = d_all * static_cast<float>((low | (top >> (2 * g) & 3) << 4) - 32);
    offset[g] = -128.0f * scale[g];
    UnpackIQ4(in + 8 + 16 * g, q + 32 * g);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_UNPACK_BLOCKS_INL_H_
