// What kernels are written against, so that one source serves nvcc and the host: warps of 32
// threads, shared memory by macro, 16-bit floats as bits, launches by function.
//
// With SPARK_SIMT the same names come from simt.h, which runs the threads of a block one by one on
// the host and watches shared memory (tests/support/simt/). Kernels include only this header and
// headers of plain layouts.
#ifndef SPARK_BACKEND_CUDA_DEVICE_H_
#define SPARK_BACKEND_CUDA_DEVICE_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef SPARK_SIMT

#include "base/half.h"
#include "simt/simt.h"

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "backend/cuda/runtime.h"

// Shared memory of a block: N elements of T; or as many as the launch says.
#define SPARK_SHARED(T, name, N) __shared__ T name[N]
#define SPARK_DYNAMIC_SHARED(T, name) extern __shared__ T name[]

#endif  // SPARK_SIMT

namespace spark::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

#ifdef SPARK_SIMT

inline float HalfToFloat(uint16_t bits) { return ToFloat(static_cast<F16>(bits)); }
inline uint16_t FloatToHalf(float x) { return static_cast<uint16_t>(ToF16(x)); }

#else

__device__ __forceinline__ float HalfToFloat(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}
__device__ __forceinline__ uint16_t FloatToHalf(float x) {
  return __half_as_ushort(__float2half_rn(x));
}

// Starts a kernel. Arguments are converted to the kernel's own types, as a call would. Throws Error
// if the launch is refused; what goes wrong while it runs shows at the next wait.
template <class... Parameters, class... Arguments>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            Stream stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = reinterpret_cast<cudaStream_t>(stream);
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
  CheckLaunch();  // which knows the error
}

#endif  // SPARK_SIMT

__device__ __forceinline__ float BrainToFloat(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float x;
  memcpy(&x, &wide, sizeof(x));
  return x;
}

// Rounds to nearest, ties to even. NaN stays NaN.
__device__ __forceinline__ uint16_t FloatToBrain(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int WarpInBlock() { return static_cast<int>(threadIdx.x) / kWarp; }

// Sums and maxima over a warp, the same bits in every lane: lanes are paired in a fixed order.
__device__ __forceinline__ float WarpSum(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
__device__ __forceinline__ float WarpMax(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  }
  return x;
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_DEVICE_H_
