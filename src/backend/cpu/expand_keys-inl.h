// A few tokens' keys as plain f32 rows, from the packed form.
#if defined(SPARK_BACKEND_CPU_EXPAND_KEYS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_EXPAND_KEYS_INL_H_
#undef SPARK_BACKEND_CPU_EXPAND_KEYS_INL_H_
#else
#define SPARK_BACKEND_CPU_EXPAND_KEYS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/expand_table.h"
#include "backend/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// [n] stored floats to f32. Reads whole vectors: a store has kReadSlack bytes behind its end, and
// so must `out` have room for them.
template <class T>
HWY_INLINE void ExpandFloats(const T* in, size_t n, float* HWY_RESTRICT out) {
  const FloatTag df;
  for (size_t i = 0; i < n; i += hn::Lanes(df)) {
    hn::StoreU(LoadFloats(df, in + i), df, out + i);
  }
}

// Bits [j, j + n) of a mask row, n <= 16. Reads up to three bytes behind the row.
HWY_INLINE uint32_t BitsAt(const uint8_t* row, size_t j, size_t n) {
  uint32_t bits;
  std::memcpy(&bits, row + j / 8, sizeof(bits));
  return (bits >> (j % 8)) & ((uint32_t{1} << n) - 1);
}

// hwy::PopCount() is compiled once for all targets, without the instruction that most of them have.
HWY_INLINE size_t CountBits(uint32_t bits) { return static_cast<size_t>(__builtin_popcount(bits)); }

template <class D>
HWY_INLINE hn::Mask<D> MaskOfBits(D d, uint32_t bits) {
  uint8_t bytes[8] = {};
  std::memcpy(bytes, &bits, sizeof(bits));
  return hn::LoadMaskBits(d, bytes);
}

// Lane i: the next lane of `v` if bit i is set, else unspecified.
HWY_INLINE FloatVec ExpandLanes(FloatVec v, uint32_t bits) {
  [[maybe_unused]] const FloatTag df;
#if HWY_TARGET == HWY_SCALAR
  return (void)bits, v;
#elif HWY_HAVE_SCALABLE || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)
  return hn::Expand(v, MaskOfBits(df, bits));  // one instruction
#else
  const hn::Rebind<uint8_t, FloatTag> d8;
  const hn::RebindToSigned<FloatTag> di;
  const auto ranks = hn::LoadU(d8, kRanks[bits].data());
  return hn::TableLookupLanes(v, hn::IndicesFromVec(df, hn::PromoteTo(di, ranks)));
#endif
}

// k̂ of one token (spark.md §3): kept channels as stored, the others ±scalar * fill. kFill: whether
// there is such a recovery. key: [D rounded up to 16]. Whole vectors of kept values are loaded, at
// most kReadSlack bytes behind the last one.
template <bool kFill, class T>
HWY_INLINE void ExpandSparseKey(const KeyView& keys, size_t t, const T* kept, float scalar,
                                float* HWY_RESTRICT key) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t dim = keys.head_dim;
  const uint8_t* mask = keys.masks + t * MaskBytes(dim);
  const uint8_t* sign = kFill ? keys.signs + t * MaskBytes(dim) : nullptr;
  const float* fills = keys.fill;
  const FloatVec unit = hn::Set(df, scalar);
  for (size_t j = 0; j < dim; j += lanes) {
    const uint32_t bits = BitsAt(mask, j, HWY_MIN(lanes, dim - j));
    FloatVec k = ExpandLanes(LoadFloats(df, kept), bits);
    kept += CountBits(bits);
    if constexpr (kFill) {
      const FloatVec fill = hn::Mul(unit, hn::LoadU(df, fills + j));
      const auto positive = MaskOfBits(df, BitsAt(sign, j, lanes));
      const FloatVec recovered = hn::IfThenElse(positive, fill, hn::Neg(fill));
      k = hn::IfThenElse(MaskOfBits(df, bits), k, recovered);
    } else {
      k = hn::IfThenElseZero(MaskOfBits(df, bits), k);
    }
    hn::StoreU(k, df, key + j);
  }
}

// Tokens [first, first + count), count <= kTokenTile. rows: [count, stride], stride = D rounded up
// to 16.
template <class T>
HWY_NOINLINE void ExpandSparseKeys(const KeyView& keys, const T* values, size_t first, size_t count,
                                   float* HWY_RESTRICT rows, size_t stride) {
  const T* kept = values + first * keys.width;
  if (keys.signs == nullptr) {
    for (size_t i = 0; i < count; ++i) {
      ExpandSparseKey<false>(keys, first + i, kept + i * keys.width, 0, rows + i * stride);
    }
    return;
  }
  HWY_ALIGN float scalars[kTokenTile + 16];
  if (keys.scalar_type == DType::kF16) {
    ExpandFloats(reinterpret_cast<const hwy::float16_t*>(keys.scalars) + first, count, scalars);
  } else {
    ExpandFloats(reinterpret_cast<const float*>(keys.scalars) + first, count, scalars);
  }
  for (size_t i = 0; i < count; ++i) {
    ExpandSparseKey<true>(keys, first + i, kept + i * keys.width, scalars[i], rows + i * stride);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_EXPAND_KEYS_INL_H_
