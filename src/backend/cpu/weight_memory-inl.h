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

#include "backend/cpu/bursts.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {

// Whether memory is asked for in bursts. Where it is not: a Sapphire Rapids, whose line buffers a
// burst overflows, gets 20 of 34 GB/s of q8_0 weights without prefetch, 24 with bursts, 28 with
// lines in step with the work, 33 if these come to the L2 cache first; a Zen 4 19 of 33 with
// bursts, 27 in step.
HWY_INLINE bool Bursts() {
#if HWY_TARGET == HWY_AVX3_ZEN4
  return asks_in_bursts.load(std::memory_order_relaxed);
#else
  return false;
#endif
}
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
HWY_INLINE void PrefetchInStep(const std::byte* p) {
  for (size_t i = 0; i < kBytes; i += 64) {
    PrefetchToL2(p + kPrefetchL2Bytes + i);
    hwy::Prefetch(p + kPrefetchL1Bytes + i);
  }
}

// The same, unless who goes over the rows asks in bursts.
template <size_t kBytes>
HWY_INLINE void PrefetchAhead(const void* weights) {
  if (!Bursts()) PrefetchInStep<kBytes>(static_cast<const std::byte*>(weights));
}

// The same, but where bursts are better asks for kBurstBytes once in as many.
template <size_t kBytes>
HWY_INLINE void PrefetchOrBurst(const void* weights) {
  constexpr size_t kBurstBytes = 2048;
  const auto* p = static_cast<const std::byte*>(weights);
  if (!Bursts()) {
    PrefetchInStep<kBytes>(p);
  } else if (reinterpret_cast<uintptr_t>(p) % kBurstBytes < kBytes) {
    for (size_t i = 0; i < kBurstBytes; i += 64) hwy::Prefetch(p + kPrefetchBytes + i);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_WEIGHT_MEMORY_INL_H_
