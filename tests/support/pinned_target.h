// One SIMD target for a whole run of the tests: SPARK_SIMD_TARGET=SSE2 spark-tests.
#ifndef SPARK_TESTS_SUPPORT_PINNED_TARGET_H_
#define SPARK_TESTS_SUPPORT_PINNED_TARGET_H_

#include <string>

namespace spark::test {

// Its name; empty unless the environment names one.
std::string PinnedTarget();

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_PINNED_TARGET_H_
