// Products of few activation rows with a weight matrix as it is stored, and what surrounds the f16
// product of many rows.
#ifndef SPARK_BACKEND_CUDA_MATMUL_CU_H_
#define SPARK_BACKEND_CUDA_MATMUL_CU_H_

#include "backend/cuda/blocks.cu.h"
#include "backend/cuda/device.h"

namespace spark::cuda {

struct DeviceMatrix {
  const uint8_t* data;
  size_t row_bytes;
  int rows, cols;
};

inline constexpr int kGemvWarps = 4;
inline constexpr int kGemvRowsPerWarp = 2;  // that share activations read from shared memory
inline constexpr int kGemvRows = kGemvWarps * kGemvRowsPerWarp;  // of a block
inline constexpr int kGemvChunk = kWarp * kPiece;  // columns at a time: a piece a lane

// A lane reads 16 activations in a row; with one word in 17 left out, lanes meet different banks.
__device__ __forceinline__ int Padded(int column) { return column + column / kPiece; }
inline constexpr int kPaddedChunk = kGemvChunk + kWarp;

// out[i, r] = Σ_c x[i, c] w[r, c] for i < n <= kN. Blocks of kGemvWarps warps, one for kGemvRows
// rows of w. The activations of a chunk of columns are shared by the block; two buffers take turns,
// so one barrier a chunk is enough.
template <DType type, int kN>
__global__ void __launch_bounds__(kGemvWarps* kWarp, kN == 1 ? 6 : 4)
    Gemv(DeviceMatrix w, const float* x, int n, float* out) {
  SPARK_SHARED(float, chunk, 2 * kN * kPaddedChunk);
  const int first_row =
      (static_cast<int>(blockIdx.x) * kGemvWarps + WarpInBlock()) * kGemvRowsPerWarp;
  float sums[kGemvRowsPerWarp][kN] = {};
  int buffer = 0;
  for (int first = 0; first < w.cols; first += kGemvChunk, buffer ^= 1) {
    const int base = buffer * kN * kPaddedChunk;
    for (int i = 0; i < n; ++i) {
      for (int c = static_cast<int>(threadIdx.x); c < kGemvChunk; c += kGemvWarps * kWarp) {
        chunk[base + i * kPaddedChunk + Padded(c)] =
            first + c < w.cols ? x[static_cast<size_t>(i) * w.cols + first + c] : 0.0f;
      }
    }
    __syncthreads();
    const int piece = first / kPiece + Lane();
    if (piece * kPiece >= w.cols) continue;  // the barrier is behind us
    float weights[kGemvRowsPerWarp][kPiece];
#pragma unroll
    for (int r = 0; r < kGemvRowsPerWarp; ++r) {
      const int row = min(first_row + r, w.rows - 1);  // behind the last one: not used
      ReadPiece<type>(w.data + row * w.row_bytes, piece, w.cols, weights[r]);
    }
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (i >= n) break;
#pragma unroll
      for (int j = 0; j < kPiece; ++j) {
        const float a = chunk[base + i * kPaddedChunk + Padded(Lane() * kPiece + j)];
#pragma unroll
        for (int r = 0; r < kGemvRowsPerWarp; ++r) sums[r][i] += a * weights[r][j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kN; ++i) {
    if (i >= n) break;
#pragma unroll
    for (int r = 0; r < kGemvRowsPerWarp; ++r) {
      const float sum = WarpSum(sums[r][i]);
      if (Lane() == 0 && first_row + r < w.rows) {
        out[static_cast<size_t>(i) * w.rows + first_row + r] = sum;
      }
    }
  }
}

// Rows first_row to first_row + rows - 1 of w as f16. A thread a piece.
template <DType type>
__global__ void DequantizeToHalf(DeviceMatrix w, int first_row, int rows, uint16_t* out) {
  const int pieces = (w.cols + kPiece - 1) / kPiece;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<int64_t>(rows) * pieces) return;
  const int row = static_cast<int>(i / pieces), piece = static_cast<int>(i % pieces);
  float values[kPiece];
  ReadPiece<type>(w.data + (first_row + row) * w.row_bytes, piece, w.cols, values);
  uint16_t* to = out + static_cast<size_t>(row) * w.cols + piece * kPiece;
#pragma unroll
  for (int j = 0; j < kPiece; ++j) {
    if (piece * kPiece + j < w.cols) to[j] = FloatToHalf(values[j]);
  }
}

// out[i] = row ids[i] of the table. A block a token.
template <DType type>
__global__ void EmbedRows(DeviceMatrix table, const int32_t* ids, float* out) {
  const uint8_t* row = table.data + ids[blockIdx.x] * table.row_bytes;
  float* to = out + static_cast<size_t>(blockIdx.x) * table.cols;
  const int pieces = (table.cols + kPiece - 1) / kPiece;
  for (int piece = static_cast<int>(threadIdx.x); piece < pieces;
       piece += static_cast<int>(blockDim.x)) {
    float values[kPiece];
    ReadPiece<type>(row, piece, table.cols, values);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) {
      if (piece * kPiece + j < table.cols) to[piece * kPiece + j] = values[j];
    }
  }
}

// f16 ends at 65504, and a few models have activations beyond: such rows are divided by a power of
// two that brings them below this, and their products multiplied by it.
inline constexpr float kLargestHalfActivation = 32768.0f;

// Rows of x as f16, and each row's power of two. A block of 128 threads a row.
static __global__ void __launch_bounds__(128)
    RowsToHalf(const float* x, int cols, uint16_t* out, float* scales) {
  SPARK_SHARED(float, largest, 4);
  const float* row = x + static_cast<size_t>(blockIdx.x) * cols;
  float most = 0;
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += 128) most = fmaxf(most, fabsf(row[c]));
  most = WarpMax(most);
  if (Lane() == 0) largest[WarpInBlock()] = most;
  __syncthreads();
  most = fmaxf(fmaxf(largest[0], largest[1]), fmaxf(largest[2], largest[3]));
  float scale = 1;
  while (most > kLargestHalfActivation * scale) scale *= 2;
  const float inverse = 1 / scale;
  uint16_t* to = out + static_cast<size_t>(blockIdx.x) * cols;
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += 128) {
    to[c] = FloatToHalf(row[c] * inverse);
  }
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

// Rows of out, times their power of two; most are 1 and leave at once. A block a row.
static __global__ void RescaleRows(float* out, int cols, const float* scales) {
  const float scale = scales[blockIdx.x];
  if (scale == 1) return;
  float* row = out + static_cast<size_t>(blockIdx.x) * cols;
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x)) {
    row[c] *= scale;
  }
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_MATMUL_CU_H_
