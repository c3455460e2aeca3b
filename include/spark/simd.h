// Which SIMD instruction sets the kernels use: Highway picks the best one at run time, and a user
// or a test may pin another.
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
// "best" undoes pinning. Throws UsageError listing the allowed names. Not to be called while
// kernels run.
void PinSimdTarget(std::string_view name);

}  // namespace spark

#endif  // SPARK_SIMD_H_
