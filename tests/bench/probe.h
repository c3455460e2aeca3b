// What the machine gives at most: bytes a second that threads read from memory, and f32 operations.
// Kernels are measured against it.
#ifndef SPARK_TESTS_BENCH_PROBE_H_
#define SPARK_TESTS_BENCH_PROBE_H_

#include <cstddef>

namespace spark::bench {

// Bytes a second that `threads` threads read from memory at once: the best of several sums over
// kProbeBytes in huge pages. Remembered for some seconds, not longer: on a virtual machine two
// threads had 53 or 83 GB/s, as their host placed them.
double ReadBandwidth(int threads);

// f32 additions and multiplications a second of one thread: independent fused multiply-adds.
double PeakFlops();

inline constexpr size_t kProbeBytes = size_t{512} << 20;
inline constexpr double kProbeSeconds = 3;

}  // namespace spark::bench

#endif  // SPARK_TESTS_BENCH_PROBE_H_
