// CUDA's kernel language on the host: with SPARK_SIMT, backend/cuda/device.h includes this, and the
// sources of the kernels compile as C++ and run without a GPU.
//
// What a kernel may use is what these headers declare. Shared memory is declared with SPARK_SHARED
// and SPARK_DYNAMIC_SHARED, passed as SharedPtr<T> and read as another type through
// SharedCast<U>(). Global memory is plain pointers: the address sanitizer watches it.
#ifndef SPARK_TESTS_SUPPORT_SIMT_SIMT_H_
#define SPARK_TESTS_SUPPORT_SIMT_SIMT_H_

#include "simt/intrinsics.h"
#include "simt/launch.h"
#include "simt/machine.h"
#include "simt/shared.h"
#include "simt/vector_types.h"
#include "simt/warp.h"

#define __global__ __attribute__((unused))
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#endif  // SPARK_TESTS_SUPPORT_SIMT_SIMT_H_
