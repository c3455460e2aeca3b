#include "backend/cpu/bursts.h"

#include <hwy/base.h>

#include <cstdint>

#if HWY_ARCH_X86
#if HWY_COMPILER_MSVC
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace spark {
namespace {

// Families of AMD's processors, as CPUID's leaf 1 tells them: 0x19 is Zen 3 and 4, 0x1A Zen 5.
bool IsZen5() {
#if HWY_ARCH_X86
  uint32_t version = 0;
#if HWY_COMPILER_MSVC
  int registers[4];
  __cpuid(registers, 1);
  version = static_cast<uint32_t>(registers[0]);
#else
  uint32_t b, c, d;
  if (__get_cpuid(1, &version, &b, &c, &d) == 0) return false;
#endif
  const uint32_t family = version >> 8 & 15;
  const uint32_t extended = version >> 20 & 255;
  return family + extended == 0x1A;
#else
  return false;
#endif
}

}  // namespace

std::atomic<bool> asks_in_bursts{IsZen5()};

}  // namespace spark
