// Per-target building blocks that several kernels share: loads of stored floats as f32 lanes, sums.
// Included by foreach_target modules only, hence the toggled include guard.
#if defined(SPARK_BACKEND_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANES_INL_H_
#undef SPARK_BACKEND_CPU_LANES_INL_H_
#undef SPARK_INLINE_LAMBDA
#else
#define SPARK_BACKEND_CPU_LANES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/dtype.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// For lambdas that are called several times in a kernel: a call would pass vectors by memory.
#if HWY_COMPILER_MSVC
#define SPARK_INLINE_LAMBDA HWY_ATTR
#else
#define SPARK_INLINE_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

// Calls body(std::integral_constant<size_t, i>()) for i = 0 … n - 1. Arrays of vectors that are
// only indexed so stay in registers; of a loop that is unrolled later, g++ writes them to memory.
template <size_t... i, class Body>
HWY_INLINE void UnrollAll(std::index_sequence<i...>, const Body& body) {
  (body(std::integral_constant<size_t, i>()), ...);
}
template <size_t n, class Body>
HWY_INLINE void Unroll(const Body& body) {
  UnrollAll(std::make_index_sequence<n>(), body);
}

// Calls body(std::integral_constant<size_t, rows>(), first row) for groups of three query rows, as
// many as have their sums in the registers of AVX-512, and for what is left: two twos of four.
template <class Body>
HWY_INLINE void ByThreeRows(size_t n_rows, const Body& body) {
  size_t r = 0;
  for (; n_rows - r >= 3 && n_rows - r != 4; r += 3) body(std::integral_constant<size_t, 3>(), r);
  for (; n_rows - r >= 2; r += 2) body(std::integral_constant<size_t, 2>(), r);
  if (n_rows > r) body(std::integral_constant<size_t, 1>(), r);
}
// The same for groups of four, and three and two of five.
template <class Body>
HWY_INLINE void ByFourRows(size_t n_rows, const Body& body) {
  size_t r = 0;
  for (; n_rows - r >= 4 && n_rows - r != 5; r += 4) body(std::integral_constant<size_t, 4>(), r);
  ByThreeRows(n_rows - r, [&](auto rows, size_t i) SPARK_INLINE_LAMBDA { body(rows, r + i); });
}

// At most 16 lanes on every target, so that blocks of 16 and 32 elements hold whole vectors.
using FloatTag = hn::CappedTag<float, 16>;
using FloatVec = hn::Vec<FloatTag>;

// Sums of 32-bit or 16-bit integers that a loop adds to. To x86's intrinsics every vector of
// integers is one of 64-bit lanes, but what adds sees narrower ones, and g++ (12) keeps a sum in a
// register for each and copies it in every step, or spills it. So sums are kept as what adds sees
// them.
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128 && \
    (HWY_COMPILER_GCC_ACTUAL || HWY_COMPILER_CLANG)
template <class T, size_t kBytes>
struct NativeInts {
  typedef T Type __attribute__((vector_size(kBytes)));
};
template <class DI>
using IntSums = typename NativeInts<hn::TFromD<DI>, sizeof(hn::Vec<DI>)>::Type;

template <class DI>
HWY_INLINE hn::Vec<DI> FromSums(DI, IntSums<DI> sums) {
  hn::Vec<DI> v;
  v.raw = reinterpret_cast<decltype(v.raw)>(sums);
  return v;
}
template <class DI>
HWY_INLINE IntSums<DI> ToSums(DI, hn::Vec<DI> v) {
  return reinterpret_cast<IntSums<DI>>(v.raw);
}
#else
template <class DI>
using IntSums = hn::Vec<DI>;

template <class DI>
HWY_INLINE hn::Vec<DI> FromSums(DI, IntSums<DI> sums) {
  return sums;
}
template <class DI>
HWY_INLINE IntSums<DI> ToSums(DI, hn::Vec<DI> v) {
  return v;
}
#endif

// Calls body(pointer to float | hwy::float16_t | hwy::bfloat16_t) for bytes of a plain float type.
template <class Body>
HWY_INLINE void WithFloatType(DType type, const std::byte* bytes, const Body& body) {
  if (type == DType::kF16) {
    body(reinterpret_cast<const hwy::float16_t*>(bytes));
  } else if (type == DType::kBF16) {
    body(reinterpret_cast<const hwy::bfloat16_t*>(bytes));
  } else {
    body(reinterpret_cast<const float*>(bytes));
  }
}

// Lanes(df) floats from `p`, which needs no alignment.
template <class DF>
HWY_INLINE hn::Vec<DF> LoadFloats(DF df, const float* p) {
  return hn::LoadU(df, p);
}
template <class DF>
HWY_INLINE hn::Vec<DF> LoadFloats(DF df, const int8_t* p) {
  const hn::Rebind<int8_t, DF> d8;
  const hn::Rebind<int32_t, DF> di;
  return hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, p)));
}
template <class DF, class Half>
HWY_INLINE hn::Vec<DF> LoadFloats(DF df, const Half* p) {
  const hn::Rebind<Half, DF> dh;
  const hn::Rebind<uint16_t, DF> du;
  return hn::PromoteTo(df, hn::BitCast(dh, hn::LoadU(du, reinterpret_cast<const uint16_t*>(p))));
}

// The same for the first n lanes; the others are 0 and their memory is not touched. By a copy:
// hn::LoadN() wants elements at multiples of their size, which a file does not promise.
template <class DF, class T>
HWY_INLINE hn::Vec<DF> LoadFloatsN(DF df, const T* p, size_t n) {
  HWY_ALIGN T lanes[HWY_MAX_LANES_D(DF)] = {};
  std::memcpy(lanes, p, n * sizeof(T));
  return LoadFloats(df, lanes);
}

HWY_INLINE float HalfAt(const uint8_t* p) {
  const hn::CappedTag<float, 1> df;
  return hn::GetLane(LoadFloats(df, reinterpret_cast<const hwy::float16_t*>(p)));
}

// Stores the first n lanes, all if n is more. hn::StoreN() for all, too, costs AMD's AVX2 dozens of
// cycles.
template <class DF, class T>
HWY_INLINE void StoreUpTo(DF df, hn::Vec<DF> v, T* p, size_t n) {
  if (n >= hn::Lanes(df)) {
    hn::StoreU(v, df, p);
  } else {
    hn::StoreN(v, df, p, n);
  }
}

// out[i] = the sum of the lanes of vector i.
template <class DF, class V = hn::Vec<DF>>
HWY_INLINE void Sum4(DF df, V v0, V v1, V v2, V v3, float* out) {
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
  out[0] = hn::ReduceSum(df, v0);
  out[1] = hn::ReduceSum(df, v1);
  out[2] = hn::ReduceSum(df, v2);
  out[3] = hn::ReduceSum(df, v3);
#else
  // Every 128-bit block: one lane of each vector, by adding and interleaving twice.
  const hn::Repartition<uint64_t, DF> d64;
  const V v01 = hn::Add(hn::InterleaveLower(df, v0, v1), hn::InterleaveUpper(df, v0, v1));
  const V v23 = hn::Add(hn::InterleaveLower(df, v2, v3), hn::InterleaveUpper(df, v2, v3));
  const auto lo = hn::InterleaveLower(d64, hn::BitCast(d64, v01), hn::BitCast(d64, v23));
  const auto hi = hn::InterleaveUpper(d64, hn::BitCast(d64, v01), hn::BitCast(d64, v23));
  const V blocks = hn::Add(hn::BitCast(df, lo), hn::BitCast(df, hi));
  constexpr size_t kLanes = HWY_MAX_LANES_D(DF);
  const hn::Half<DF> dh;
  if constexpr (kLanes == 16) {
    const hn::Half<decltype(dh)> d4;
    const auto half = hn::Add(hn::LowerHalf(dh, blocks), hn::UpperHalf(dh, blocks));
    hn::StoreU(hn::Add(hn::LowerHalf(d4, half), hn::UpperHalf(d4, half)), d4, out);
  } else if constexpr (kLanes == 8) {
    hn::StoreU(hn::Add(hn::LowerHalf(dh, blocks), hn::UpperHalf(dh, blocks)), dh, out);
  } else {
    hn::StoreU(blocks, df, out);
  }
#endif
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANES_INL_H_
