// How this machine's memory is best asked for (backend/cpu/weight_memory-inl.h, run_memory-inl.h).
#ifndef SPARK_BACKEND_CPU_BURSTS_H_
#define SPARK_BACKEND_CPU_BURSTS_H_

#include <atomic>

namespace spark {

// Whether kernels of AVX3_ZEN4 ask for the memory ahead of them in bursts of some kilobytes,
// instead of line by line in step with their work. So Zen 5 read weights at 74 of 84 GB/s, else at
// 52; Zen 4, which has the same instructions, reads them at 19 of 33 GB/s so, else at 27, and
// decodes half as fast at depth. docs/performance.md has the figures. True on Zen 5. Tests set it,
// too.
extern std::atomic<bool> asks_in_bursts;

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_BURSTS_H_
