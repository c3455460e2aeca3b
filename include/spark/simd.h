// Which instruction set the CPU backend computes with.
#ifndef SPARK_SIMD_H_
#define SPARK_SIMD_H_

#include <string>
#include <string_view>
#include <vector>

namespace spark {

// Targets that are compiled in and that this machine supports, best first: "AVX3_ZEN4", "AVX2", …
std::vector<std::string> SimdTargets();

// The one that kernels run on now.
std::string CurrentSimdTarget();

// Kernels use `name` from now on, in the whole process; "scalar" means the target without vectors,
// "auto" the best one. Throws UsageError naming what is allowed. Not while a session computes.
void PinSimdTarget(std::string_view name);

}  // namespace spark

#endif  // SPARK_SIMD_H_
