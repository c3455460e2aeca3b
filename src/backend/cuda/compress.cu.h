// Kernels of compress.h. Grids: x over tokens or channels, y over KV heads.
#ifndef SPARK_BACKEND_CUDA_COMPRESS_CU_H_
#define SPARK_BACKEND_CUDA_COMPRESS_CU_H_

#include "backend/cuda/device.h"
#include "base/dtype.h"

namespace spark::cuda {

inline constexpr int kCompressWarps = 4;
inline constexpr int kWeightThreads = 128;
inline constexpr int kShareThreads = 256;

struct CompressArguments {
  const float* keys = nullptr;
  const float* queries = nullptr;
  size_t token_stride = 0, head_stride = 0;  // of keys, floats
  uint32_t n_tokens = 0, head_dim = 0, n_kept = 0, window = 0, group = 0;
  bool rms = false;
  DType type = DType::kF16;
  float* weights = nullptr;   // [n_heads, head_dim]
  float* scalars = nullptr;   // [n_heads, n_tokens], before they become shares
  uint8_t* packed = nullptr;  // the heads' arrays, at these offsets:
  size_t head_bytes = 0;      // from one head to the next
  size_t values = 0, masks = 0, signs = 0, shares = 0, fill = 0;
  uint32_t row_bytes = 0;
};

// w[j], a thread a channel.
static __global__ void ChannelWeights(CompressArguments a) {
  const uint32_t c = blockIdx.x * kWeightThreads + threadIdx.x;
  if (c >= a.head_dim) return;
  const size_t rows = static_cast<size_t>(a.window) * a.group;
  const float* q = a.queries + blockIdx.y * rows * a.head_dim + c;
  float squares = 0;
  for (uint32_t i = 0; i < a.window; ++i) {
    float sum = 0;
    for (uint32_t g = 0; g < a.group; ++g, q += a.head_dim) {
      if (a.rms) {
        squares += *q * *q;
      } else {
        sum += *q;
      }
    }
    const float mean = sum / static_cast<float>(a.group);
    if (!a.rms) squares += mean * mean;
  }
  if (a.rms) squares /= static_cast<float>(rows);
  a.weights[static_cast<size_t>(blockIdx.y) * a.head_dim + c] = sqrtf(squares);
}

// Which of a warp's numbers are the n_kept largest, of equal ones those of the lower channel: lane
// l holds the bits of channels l, 32 + l, …; they order as the numbers do, none being negative.
// Word w of `kept` is the mask of channels 32 w ….
//
// The n_kept-th largest is found from its highest bit down: a bit is set if as many numbers reach
// what is then asked for. Places behind the last channel hold 0: no bound that is tried lets them
// in, and among equal ones they come last.
template <int kWords>
__device__ __forceinline__ void KeepLargest(const uint32_t (&x)[kWords], uint32_t n_kept,
                                            uint32_t (&kept)[kWords]) {
  uint32_t bound = 0;
  for (int bit = 30; bit >= 0; --bit) {
    const uint32_t next = bound | 1u << bit;
    uint32_t count = 0;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      kept[w] = __ballot_sync(kAllLanes, x[w] >= next);
      count += static_cast<uint32_t>(__popc(kept[w]));
    }
    if (count == n_kept) return;
    if (count > n_kept) bound = next;
  }
  uint32_t missing = n_kept;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    kept[w] = __ballot_sync(kAllLanes, x[w] > bound);
    missing -= static_cast<uint32_t>(__popc(kept[w]));
  }
#pragma unroll
  for (int w = 0; w < kWords; ++w) {  // those that equal the bound, lower channels first
    const uint32_t equal = __ballot_sync(kAllLanes, x[w] == bound);
    const auto rank = static_cast<uint32_t>(__popc(equal & ((1u << Lane()) - 1)));
    const bool stays = (equal >> Lane() & 1) != 0 && rank < missing;
    const uint32_t chosen = __ballot_sync(kAllLanes, stays);
    kept[w] |= chosen;
    missing -= static_cast<uint32_t>(__popc(chosen));
  }
}

// A token's row of a mask or sign plane: lanes 0 to 3 store a word's bytes.
template <int kWords>
__device__ __forceinline__ void StorePlaneRow(const uint32_t (&words)[kWords], uint32_t bytes,
                                              uint8_t* row) {
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const auto b = static_cast<uint32_t>(Lane());
    if (b < 4 && 4 * w + b < bytes) row[4 * w + b] = static_cast<uint8_t>(words[w] >> (8 * b));
  }
}

// Kept values as kv/packed_row.h has them; the warp's lie in shared memory, [first, first + n).
template <class Values>
__device__ __forceinline__ void PackValues(Values& values, uint32_t first, uint32_t n, DType type,
                                           uint8_t* row) {
  const uint32_t scale_bytes = (n + kWarp - 1) / kWarp * 2;  // q8_0
  for (uint32_t group = 0; group < n; group += kWarp) {
    const uint32_t i = group + static_cast<uint32_t>(Lane());
    const bool inside = i < n;
    const float x = inside ? static_cast<float>(values[first + i]) : 0.0f;
    if (type == DType::kQ8_0) {
      const uint16_t half = FloatToHalf(fminf(WarpMax(fabsf(x)) / 127, 65504.0f));
      const float scale = HalfToFloat(half);
      const float share = x * (scale != 0 ? 1 / scale : 0.0f);
      const float code = rintf(fminf(fmaxf(share, -127.0f), 127.0f));
      // Rows may begin at odd addresses.
      if (Lane() < 2)
        row[group / kWarp * 2 + static_cast<uint32_t>(Lane())] =
            static_cast<uint8_t>(half >> (8 * Lane()));
      if (inside) row[scale_bytes + i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    } else if (inside && type == DType::kF32) {
      reinterpret_cast<float*>(row)[i] = x;
    } else if (inside) {
      reinterpret_cast<uint16_t*>(row)[i] = type == DType::kF16 ? FloatToHalf(x) : FloatToBrain(x);
    }
  }
}

// A warp a token: which channels stay, their values, all signs, and the scalar of the others.
template <int kWords>
__global__ void PackTokens(CompressArguments a) {
  constexpr uint32_t kRow = kWords * kWarp;
  SPARK_SHARED(float, values, kCompressWarps* kWords* kWarp);
  const uint32_t t = blockIdx.x * kCompressWarps + static_cast<uint32_t>(WarpInBlock());
  if (t >= a.n_tokens) return;
  const float* key = a.keys + blockIdx.y * a.head_stride + t * a.token_stride;
  const float* weights = a.weights + static_cast<size_t>(blockIdx.y) * a.head_dim;
  float k[kWords];
  uint32_t contribution[kWords], kept[kWords], signs[kWords];
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const uint32_t c = static_cast<uint32_t>(w * kWarp + Lane());
    const bool inside = c < a.head_dim;
    k[w] = inside ? key[c] : 0.0f;
    contribution[w] = __float_as_uint(inside ? k[w] * k[w] * weights[c] : 0.0f);
    signs[w] = __ballot_sync(kAllLanes, k[w] > 0);
  }
  KeepLargest(contribution, a.n_kept, kept);

  const uint32_t first = static_cast<uint32_t>(WarpInBlock()) * kRow;
  uint32_t before = 0;
  float pruned = 0;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    if ((kept[w] >> Lane() & 1) != 0) {
      const auto rank = static_cast<uint32_t>(__popc(kept[w] & ((1u << Lane()) - 1)));
      values[first + before + rank] = k[w];
    } else {
      pruned += __uint_as_float(contribution[w]);
    }
    before += static_cast<uint32_t>(__popc(kept[w]));
  }
  pruned = WarpSum(pruned);
  __syncwarp(kAllLanes);

  uint8_t* head = a.packed + blockIdx.y * a.head_bytes;
  const uint32_t mask_bytes = (a.head_dim + 7) / 8;
  StorePlaneRow(kept, mask_bytes, head + a.masks + static_cast<size_t>(t) * mask_bytes);
  StorePlaneRow(signs, mask_bytes, head + a.signs + static_cast<size_t>(t) * mask_bytes);
  PackValues(values, first, a.n_kept, a.type,
             head + a.values + static_cast<size_t>(t) * a.row_bytes);
  if (Lane() == 0) {
    a.scalars[static_cast<size_t>(blockIdx.y) * a.n_tokens + t] =
        sqrtf(pruned / static_cast<float>(a.head_dim - a.n_kept));
  }
}

// Scalars as shares of the head's largest in 16 bits, whose unit moves into `fill`; beside f32
// values they stay as they are. One block a head.
static __global__ void PackScalars(CompressArguments a) {
  SPARK_SHARED(float, largest, kShareThreads / kWarp);
  const float* scalars = a.scalars + static_cast<size_t>(blockIdx.y) * a.n_tokens;
  uint8_t* head = a.packed + blockIdx.y * a.head_bytes;
  float most = 0;
  for (uint32_t t = threadIdx.x; t < a.n_tokens; t += kShareThreads) most = fmaxf(most, scalars[t]);
  most = WarpMax(most);
  if (Lane() == 0) largest[WarpInBlock()] = most;
  __syncthreads();
  most = 0;
  for (int w = 0; w < kShareThreads / kWarp; ++w) most = fmaxf(most, largest[w]);
  const bool f32 = a.type == DType::kF32;
  const float scale = f32 || !(most > 0) ? 1.0f : most;
  for (uint32_t t = threadIdx.x; t < a.n_tokens; t += kShareThreads) {
    if (f32) {
      reinterpret_cast<float*>(head + a.shares)[t] = scalars[t];
    } else {
      reinterpret_cast<uint16_t*>(head + a.shares)[t] = FloatToHalf(scalars[t] / scale);
    }
  }
  for (uint32_t c = threadIdx.x; c < a.head_dim; c += kShareThreads) {
    const float w = a.weights[static_cast<size_t>(blockIdx.y) * a.head_dim + c];
    // A channel that no query uses recovers as 0.
    reinterpret_cast<float*>(head + a.fill)[c] = w > 0 ? scale * (1.0f / sqrtf(w)) : 0.0f;
  }
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_COMPRESS_CU_H_
