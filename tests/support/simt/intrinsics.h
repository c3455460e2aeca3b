// CUDA's functions of one thread: bits, conversions, fast mathematics, atomics.
#ifndef SPARK_TESTS_SUPPORT_SIMT_INTRINSICS_H_
#define SPARK_TESTS_SUPPORT_SIMT_INTRINSICS_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "simt/shared.h"

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}

// Byte i of the result is the byte of (y:x) that nibble i of `selector` names; bit 3 of the nibble
// spreads that byte's sign.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t both = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> (4 * i) & 15u;
    auto byte = static_cast<unsigned>(both >> (8 * (nibble & 7u)) & 0xFFu);
    if ((nibble & 8u) != 0) byte = (byte & 0x80u) != 0 ? 0xFFu : 0u;
    result |= byte << (8 * i);
  }
  return result;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31u));
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31u) >> 32);
}

// c + the dot product of four bytes each.
inline int __dp4a(int a, int b, int c) {
  auto sum = static_cast<unsigned>(c);
  for (int i = 0; i < 4; ++i) {
    const int product = static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i));
    sum += static_cast<unsigned>(product);
  }
  return static_cast<int>(sum);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; ++i) c += (a >> (8 * i) & 0xFFu) * (b >> (8 * i) & 0xFFu);
  return c;
}

inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }

// The GPU's fast ones are less exact; what must hold for them is a matter of the tolerances.
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? std::min(x, 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }

template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
T __ldcs(const T* p) {
  return *p;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace spark::simt {

template <typename T, typename Change>
T ChangeAtomically(T* p, Change change) {
  const T old = *p;
  *p = change(old);
  return old;
}
template <typename T, typename Change>
T ChangeAtomically(const SharedPtr<T>& p, Change change) {
  return (*p).Atomic(change);
}

// What CUDA has atomics for, on global memory (T*) and on shared memory (SharedPtr<T>).
template <typename P>
struct AtomicTarget;
template <typename T>
struct AtomicTarget<T*> {
  using Element = T;
};
template <typename T>
struct AtomicTarget<SharedPtr<T>> {
  using Element = T;
};
template <typename P>
using Pointee = typename AtomicTarget<P>::Element;

}  // namespace spark::simt

#define SPARK_SIMT_ATOMIC(function, expression)                                                  \
  template <typename P, typename T = spark::simt::Pointee<P>>                                    \
  T function(P p, std::type_identity_t<T> value) {                                               \
    return spark::simt::ChangeAtomically(p,                                                      \
                                         [value](T old) { return static_cast<T>(expression); }); \
  }
SPARK_SIMT_ATOMIC(atomicAdd, old + value)
SPARK_SIMT_ATOMIC(atomicMin, value < old ? value : old)
SPARK_SIMT_ATOMIC(atomicMax, old < value ? value : old)
SPARK_SIMT_ATOMIC(atomicExch, (static_cast<void>(old), value))
SPARK_SIMT_ATOMIC(atomicOr, old | value)
SPARK_SIMT_ATOMIC(atomicAnd, old& value)
#undef SPARK_SIMT_ATOMIC
template <typename P, typename T = spark::simt::Pointee<P>>
T atomicCAS(P p, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return spark::simt::ChangeAtomically(p, [=](T old) { return old == compare ? value : old; });
}

#endif  // SPARK_TESTS_SUPPORT_SIMT_INTRINSICS_H_
