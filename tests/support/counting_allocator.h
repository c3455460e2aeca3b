// How many bytes of aligned memory, the kind that cache arrays live in, are allocated right now.
#ifndef SPARK_TESTS_SUPPORT_COUNTING_ALLOCATOR_H_
#define SPARK_TESTS_SUPPORT_COUNTING_ALLOCATOR_H_

#include <cstddef>

namespace spark::testing {

// Of the whole process: libraries' too, as `operator new[]` is replaced for all of them.
size_t LiveAlignedBytes();

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_COUNTING_ALLOCATOR_H_
