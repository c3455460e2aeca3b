// Asks for the memory of weights before they are read, in the order of their bytes.
#if defined(SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_
#undef SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_
#else
#define SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_
#endif

#include <hwy/cache_control.h>

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {

// How weights are asked for before they are read. Zen 5 wants as much as four rows have at once: of
// the 84 GB/s that two cores read, q8_0 got 38 without, 52 with a line or two for every strip, 74
// this way. A Sapphire Rapids, whose line buffers such a burst overflows, gets 20 without, 24 with
// bursts, 28 with lines in step with the work, 33 of 34 if these come to the L2 cache first.
inline constexpr bool kBursts = HWY_TARGET == HWY_AVX3_ZEN4;
inline constexpr size_t kPrefetchBytes = 4096;     // ahead, where in bursts
inline constexpr size_t kPrefetchL2Bytes = 16384;  // ahead, where in step
inline constexpr size_t kPrefetchL1Bytes = 1024;

HWY_INLINE void PrefetchToL2(const std::byte* p) {
#if HWY_COMPILER_GCC_ACTUAL || HWY_COMPILER_CLANG
  __builtin_prefetch(p, 0, 2);
#else
  hwy::Prefetch(p);
#endif
}

// Asks for the lines that come behind kBytes of weights.
template <size_t kBytes>
HWY_INLINE void PrefetchAhead(const void* weights) {
  const auto* p = static_cast<const std::byte*>(weights);
  if constexpr (!kBursts) {
    for (size_t i = 0; i < kBytes; i += 64) {
      PrefetchToL2(p + kPrefetchL2Bytes + i);
      hwy::Prefetch(p + kPrefetchL1Bytes + i);
    }
  }
}

// The same, but where bursts are better asks for kBurstBytes once in as many.
template <size_t kBytes>
HWY_INLINE void PrefetchOrBurst(const void* weights) {
  constexpr size_t kBurstBytes = 2048;
  if constexpr (!kBursts) {
    PrefetchAhead<kBytes>(weights);
  } else if (reinterpret_cast<uintptr_t>(weights) % kBurstBytes < kBytes) {
    const auto* ahead = static_cast<const std::byte*>(weights) + kPrefetchBytes;
    for (size_t i = 0; i < kBurstBytes; i += 64) hwy::Prefetch(ahead + i);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_
