#include "backend/cpu/unpack.h"

#include <cstring>

#include "base/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/unpack.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ByteTag = hn::CappedTag<uint8_t, 16>;
using ByteVec = hn::Vec<ByteTag>;

HWY_INLINE float HalfAt(const uint8_t* p) {
  const hn::CappedTag<float, 1> df;
  return hn::GetLane(LoadFloats(df, reinterpret_cast<const hwy::float16_t*>(p)));
}

// Calls body(i) for every vector of bytes in [0, n), n a multiple of 16.
template <class Body>
HWY_INLINE void ForBytes(size_t n, const Body& body) {
  for (size_t i = 0; i < n; i += hn::Lanes(ByteTag())) body(i);
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
  ForBytes(16, [&](size_t i) HWY_ATTR {
    const ByteTag d;
    const ByteVec both = hn::LoadU(d, in + i);
    hn::StoreU(hn::And(both, hn::Set(d, uint8_t{15})), d, q + i);
    hn::StoreU(hn::ShiftRight<4>(both), d, q + 16 + i);
  });
}

HWY_INLINE void UnpackFiveBits(const uint8_t* high, const uint8_t* in, uint8_t* q) {
  ForBytes(16, [&](size_t i) HWY_ATTR {
    const ByteTag d;
    const ByteVec both = hn::LoadU(d, in + i);
    const ByteVec lower = hn::And(both, hn::Set(d, uint8_t{15}));
    hn::StoreU(hn::Or(lower, FifthBits(high, i)), d, q + i);
    hn::StoreU(hn::Or(hn::ShiftRight<4>(both), FifthBits(high, 16 + i)), d, q + 16 + i);
  });
}

// One function a type: block `in` to `q`, and the groups' scales and offsets.

HWY_INLINE void UnpackQ8_0(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  *scale = HalfAt(in);
  *offset = -128.0f * *scale;
  ForBytes(32, [&](size_t i) HWY_ATTR {
    const ByteTag d;
    hn::StoreU(hn::Xor(hn::LoadU(d, in + 2 + i), hn::Set(d, uint8_t{128})), d, q + i);
  });
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

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: those of groups 0..3 in the low bits of
// bytes 0..3 and 4..7; those of groups 4..7 in the nibbles of bytes 8..11, their top two bits in
// the top bits of bytes 0..3 and 4..7.
HWY_INLINE void UnpackScalesK(const uint8_t* block, float* scale, float* offset) {
  const float d = HalfAt(block);
  const float minimum = -HalfAt(block + 2);
  const uint8_t* s = block + 4;
  for (size_t g = 0; g < 4; ++g) {
    scale[g] = d * static_cast<float>(s[g] & 63);
    offset[g] = minimum * static_cast<float>(s[g + 4] & 63);
    scale[g + 4] = d * static_cast<float>((s[g + 8] & 15) | ((s[g] >> 6) << 4));
    offset[g + 4] = minimum * static_cast<float>((s[g + 8] >> 4) | ((s[g + 4] >> 6) << 4));
  }
}

// 256 elements; bytes 32 j … 32 j + 31 hold those of group 2 j and, in the high halves, 2 j + 1.
HWY_INLINE void UnpackQ4_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  UnpackScalesK(in, scale, offset);
  const uint8_t* nibbles = in + 16;
  for (size_t j = 0; j < 4; ++j, nibbles += 32, q += 64) {
    ForBytes(32, [&](size_t i) HWY_ATTR {
      const ByteTag d;
      const ByteVec both = hn::LoadU(d, nibbles + i);
      hn::StoreU(hn::And(both, hn::Set(d, uint8_t{15})), d, q + i);
      hn::StoreU(hn::ShiftRight<4>(both), d, q + 32 + i);
    });
  }
}

// The same, and bit g of `high[i]` is the fifth bit of element i of group g.
HWY_INLINE void UnpackQ5_K(const uint8_t* in, uint8_t* q, float* scale, float* offset) {
  UnpackScalesK(in, scale, offset);
  const uint8_t* high = in + 16;
  const uint8_t* nibbles = in + 48;
  for (size_t j = 0; j < 4; ++j, nibbles += 32, q += 64) {
    ForBytes(32, [&](size_t i) HWY_ATTR {
      const ByteTag d;
      const ByteVec one = hn::Set(d, uint8_t{1});
      const ByteVec both = hn::LoadU(d, nibbles + i);
      const ByteVec bits = hn::ShiftRightSame(hn::LoadU(d, high + i), static_cast<int>(2 * j));
      const ByteVec even = hn::ShiftLeft<4>(hn::And(bits, one));
      const ByteVec odd = hn::ShiftLeft<4>(hn::And(hn::ShiftRight<1>(bits), one));
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
  for (size_t g = 0; g < 16; ++g) {
    scale[g] = d_all * static_cast<float>(static_cast<int8_t>(in[192 + g]));
    offset[g] = -32.0f * scale[g];
  }
  const uint8_t* low = in;
  const uint8_t* high = in + 128;
  for (size_t half = 0; half < 2; ++half, low += 64, high += 32, q += 128) {
    ForBytes(32, [&](size_t i) HWY_ATTR {
      const ByteTag d;
      const ByteVec nibble = hn::Set(d, uint8_t{15});
      const ByteVec top = hn::Set(d, uint8_t{48});
      const ByteVec a = hn::LoadU(d, low + i);
      const ByteVec b = hn::LoadU(d, low + 32 + i);
      const ByteVec h = hn::LoadU(d, high + i);
      const ByteVec h0 = hn::And(hn::ShiftLeft<4>(h), top);
      const ByteVec h1 = hn::And(hn::ShiftLeft<2>(h), top);
      const ByteVec h3 = hn::And(hn::ShiftRight<2>(h), top);
      hn::StoreU(hn::Or(hn::And(a, nibble), h0), d, q + i);
      hn::StoreU(hn::Or(hn::And(b, nibble), h1), d, q + 32 + i);
      hn::StoreU(hn::Or(hn::ShiftRight<4>(a), hn::And(h, top)), d, q + 64 + i);
      hn::StoreU(hn::Or(hn::ShiftRight<4>(b), h3), d, q + 96 + i);
    });
  }
}

// Calls unpack(in, q, scale, offset) for every block of a row.
template <class Unpack>
HWY_INLINE void ForBlocks(const Weight& w, size_t row, const UnpackedRows& out, size_t place,
                          const Unpack& unpack) {
  const DTypeTraits& traits = Traits(w.type);
  const size_t n_blocks = w.cols / traits.block_elements;
  const size_t groups_a_block = traits.block_elements / out.group;
  const auto* in = reinterpret_cast<const uint8_t*>(w.data) + row * n_blocks * traits.block_bytes;
  uint8_t* q = out.q + place * out.cols;
  float* scale = out.scales + place * out.groups();
  float* offset = out.offsets + place * out.groups();
  for (size_t b = 0; b < n_blocks; ++b) {
    unpack(in, q, scale, offset);
    in += traits.block_bytes;
    q += traits.block_elements;
    scale += groups_a_block;
    offset += groups_a_block;
  }
}

void UnpackRow(const Weight& w, size_t row, const UnpackedRows& out, size_t place) {
#define SPARK_UNPACK(TYPE)                                                          \
  case DType::k##TYPE:                                                              \
    return ForBlocks(w, row, out, place,                                            \
                     [](const uint8_t* in, uint8_t* q, float* scale, float* offset) \
                         HWY_ATTR { Unpack##TYPE(in, q, scale, offset); })
  switch (w.type) {
    SPARK_UNPACK(Q8_0);
    SPARK_UNPACK(Q4_0);
    SPARK_UNPACK(Q4_1);
    SPARK_UNPACK(Q5_0);
    SPARK_UNPACK(Q5_1);
    SPARK_UNPACK(Q4_K);
    SPARK_UNPACK(Q5_K);
    SPARK_UNPACK(Q6_K);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;  // plain floats: DequantizeWeightRow() does not come here
  }
#undef SPARK_UNPACK
}

void UnpackRowsKernel(const Weight& w, size_t first, size_t n_rows, const UnpackedRows& out) {
  for (size_t i = 0; i < n_rows; ++i) UnpackRow(w, first + i, out, i);
}

// With a fused multiply-add the product is exact, so q8_0, q4_0 and q5_0 come out as d * (q - zero)
// rounded once, like the definition.
void DequantizeRowKernel(const UnpackedRows& rows, float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<uint8_t, decltype(df)> d8;
  const hn::Rebind<int32_t, decltype(df)> di;
  const size_t lanes = hn::Lanes(df);
  for (size_t k = 0; k < rows.cols; k += lanes) {
    const auto q = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, rows.q + k)));
    const size_t g = k / rows.group;
    hn::StoreU(hn::MulAdd(q, hn::Set(df, rows.scales[g]), hn::Set(df, rows.offsets[g])), df,
               out + k);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(UnpackRowsKernel);
HWY_EXPORT(DequantizeRowKernel);

size_t UnpackedBytes(const Weight& w, size_t n_rows) {
  return n_rows * (w.cols + 2 * sizeof(float) * (w.cols / GroupSize(w.type)));
}

UnpackedRows UnpackedAt(const Weight& w, size_t n_rows, std::byte* place) {
  const size_t group = GroupSize(w.type);
  auto* scales = reinterpret_cast<float*>(place);
  float* offsets = scales + n_rows * (w.cols / group);
  auto* q = reinterpret_cast<uint8_t*>(offsets + n_rows * (w.cols / group));
  return {q, scales, offsets, w.cols, group};
}

void UnpackRows(const Weight& w, size_t first, size_t n_rows, const UnpackedRows& out) {
  HWY_DYNAMIC_DISPATCH(UnpackRowsKernel)(w, first, n_rows, out);
}

void DequantizeWeightRow(const Weight& w, size_t row, const UnpackedRows& scratch, float* out) {
  if (!IsQuantized(w.type)) {
    ToFloats(w.type, w.data + row * w.cols * Traits(w.type).block_bytes, w.cols, out);
    return;
  }
  UnpackRows(w, row, 1, scratch);
  HWY_DYNAMIC_DISPATCH(DequantizeRowKernel)(scratch, out);
}

}  // namespace spark
#endif  // HWY_ONCE
