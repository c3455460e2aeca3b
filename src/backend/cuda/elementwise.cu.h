// Norms, rotations and what works on one element at a time.
#ifndef SPARK_BACKEND_CUDA_ELEMENTWISE_CU_H_
#define SPARK_BACKEND_CUDA_ELEMENTWISE_CU_H_

#include "backend/cuda/device.h"

namespace spark::cuda {

inline constexpr int kThreads = 256;  // of a block, here

// One thread an element: x[i] = function(x[i], i).
template <class Function>
__global__ void __launch_bounds__(kThreads) ForEach(float* x, int64_t count, Function function) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) x[i] = function(x[i], i);
}

struct AddTo {
  const float* y;
  __device__ float operator()(float x, int64_t i) const { return x + y[i]; }
};
struct AddBiasTo {
  const float* bias;
  int dim;
  __device__ float operator()(float x, int64_t i) const { return x + bias[i % dim]; }
};
struct ScaleBy {
  float factor;
  __device__ float operator()(float x, int64_t) const { return x * factor; }
};
struct CapAt {
  float cap;
  __device__ float operator()(float x, int64_t) const { return cap * tanhf(x / cap); }
};
struct SiluTimes {
  const float* up;
  __device__ float operator()(float z, int64_t i) const { return z / (1.0f + expf(-z)) * up[i]; }
};
struct GeluTimes {
  const float* up;
  __device__ float operator()(float z, int64_t i) const {
    constexpr float kRoot = 0.79788456080286535588f;  // sqrt(2/π)
    return 0.5f * z * (1.0f + tanhf(kRoot * (z + 0.044715f * z * z * z))) * up[i];
  }
};

inline constexpr int kNormWarps = 4;

// out = x / sqrt(mean(x²) + eps) * weight. A warp a row for short rows (heads), a block a row for
// long ones.
template <bool kBlockPerRow>
__global__ void __launch_bounds__(kNormWarps* kWarp)
    RmsNormRows(const float* x, int64_t rows, const float* weight, int dim, float eps, float* out) {
  SPARK_SHARED(float, sums, kNormWarps);
  const int64_t row =
      kBlockPerRow ? blockIdx.x : static_cast<int64_t>(blockIdx.x) * kNormWarps + WarpInBlock();
  const int first = kBlockPerRow ? static_cast<int>(threadIdx.x) : Lane();
  constexpr int kStep = kBlockPerRow ? kNormWarps * kWarp : kWarp;
  if (row >= rows) return;  // whole warps, and only where there is no barrier
  const float* from = x + row * dim;
  float sum = 0;
  for (int j = first; j < dim; j += kStep) sum += from[j] * from[j];
  sum = WarpSum(sum);
  if constexpr (kBlockPerRow) {
    if (Lane() == 0) sums[WarpInBlock()] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < kNormWarps; ++w) sum += sums[w];
  }
  const float inverse = 1.0f / sqrtf(sum / static_cast<float>(dim) + eps);
  float* to = out + row * dim;
  for (int j = first; j < dim; j += kStep) to[j] = from[j] * inverse * weight[j];
}

struct RopeShape {
  int n_heads, head_dim, half;  // half: pairs of a head that are rotated
  bool interleaved;
};

// A thread a pair. cos, sin: [n, half]
static __global__ void __launch_bounds__(kThreads)
    RotatePairs(float* x, int64_t pairs, RopeShape shape, const float* cos, const float* sin) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pairs) return;
  const int64_t head = i / shape.half;
  const int p = static_cast<int>(i % shape.half);
  const int64_t angle = head / shape.n_heads * shape.half + p;
  float* at = x + head * shape.head_dim;
  const int first = shape.interleaved ? 2 * p : p;
  const int second = shape.interleaved ? 2 * p + 1 : p + shape.half;
  const float a = at[first], b = at[second];
  at[first] = a * cos[angle] - b * sin[angle];
  at[second] = a * sin[angle] + b * cos[angle];
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_ELEMENTWISE_CU_H_
