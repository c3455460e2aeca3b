#include "base/process.h"

#ifdef _WIN32  // written, compiled, never run
#include <windows.h>
// After windows.h.
#include <psapi.h>
#elif __has_include(<sys/resource.h>)
#include <sys/resource.h>
#endif

#include <fstream>
#include <string>

namespace spark {
#ifdef _WIN32

uint64_t PeakResidentBytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof(counters))) return 0;
  return counters.PeakWorkingSetSize;
}

#else
namespace {

// Linux: "VmHWM:     12345 kB". getrusage() also counts what the process was before exec().
uint64_t FromProc() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

uint64_t PeakResidentBytes() {
  if (const uint64_t bytes = FromProc(); bytes != 0) return bytes;
#if __has_include(<sys/resource.h>)
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) return 0;
  const auto peak = static_cast<uint64_t>(usage.ru_maxrss);
#ifdef __APPLE__
  return peak;  // bytes there, KiB elsewhere
#else
  return peak * 1024;
#endif
#else
  return 0;
#endif
}

#endif  // _WIN32

}  // namespace spark
