// Rows of a KV cache in a warp's registers: lane l holds channels l, 32 + l, 64 + l, … of each.
#ifndef SPARK_BACKEND_CUDA_READ_ROWS_CU_H_
#define SPARK_BACKEND_CUDA_READ_ROWS_CU_H_

#include "backend/cuda/attention_launch.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kv_views.h"

namespace spark::cuda {

// Rows of bytes and half bytes may begin at odd addresses.
__device__ __forceinline__ float LoadHalfAnywhere(const uint8_t* at) {
  return HalfToFloat(static_cast<uint16_t>(at[0] | at[1] << 8));
}

// Element i of a packed row of n elements (kv/packed_row.h).
template <DType type>
__device__ __forceinline__ float LoadElement(const uint8_t* row, int i, int n) {
  if constexpr (type == DType::kF32) {
    return reinterpret_cast<const float*>(row)[i];
  } else if constexpr (type == DType::kF16) {
    return HalfToFloat(reinterpret_cast<const uint16_t*>(row)[i]);
  } else if constexpr (type == DType::kBF16) {
    return BrainToFloat(reinterpret_cast<const uint16_t*>(row)[i]);
  } else {
    const float scale = LoadHalfAnywhere(row + i / 32 * 2);
    const uint8_t* codes = row + (n + 31) / 32 * 2;
    if constexpr (type == DType::kQ8_0) {
      return scale * static_cast<float>(static_cast<int8_t>(codes[i]));
    } else {
      return scale * static_cast<float>((codes[i / 2] >> (i % 2 * 4) & 15) - 8);
    }
  }
}

__device__ __forceinline__ uint32_t PackedBytes(DType type, uint32_t n) {
  const uint32_t scales = (n + 31) / 32 * 2;
  switch (type) {
    case DType::kF32:
      return n * 4;
    case DType::kQ8_0:
      return scales + n;
    case DType::kQ4_0:
      return scales + (n + 1) / 2;
    default:
      return n * 2;
  }
}

// Where the rows of a tile begin, and how long they are: lane l knows those of token first + l.
struct TileRows {
  size_t offset;
  int kept;
};

// `first` is a multiple of kTileTokens, and so is half of what lies between two offsets. Rows of
// different lengths: a lane counts the bits of its token's mask, and a prefix sum over the warp
// adds up the lengths. `n`: tokens of the store.
__device__ __forceinline__ TileRows FindRows(const StoreView& store, uint32_t first, uint32_t n) {
  const uint32_t token = first + static_cast<uint32_t>(Lane());
  if (store.row_bytes > 0 || store.offsets == nullptr) {
    return {static_cast<size_t>(token) * store.row_bytes, static_cast<int>(store.n_kept)};
  }
  const uint32_t begin = first / 64 * 64;
  size_t before = store.offsets[begin / 64];
  int kept = 0;
  for (uint32_t tile = begin; tile <= first; tile += kTileTokens) {
    const uint32_t t = tile + static_cast<uint32_t>(Lane());
    kept = 0;
    for (uint32_t b = 0; t < n && b < store.mask_stride; ++b) {
      kept += __popc(store.masks[static_cast<size_t>(t) * store.mask_stride + b]);
    }
    const uint32_t bytes = PackedBytes(store.type, static_cast<uint32_t>(kept));
    uint32_t sum = bytes;
    for (int step = 1; step < kWarp; step *= 2) {
      const uint32_t left = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(step));
      if (Lane() >= step) sum += left;
    }
    if (tile == first) return {before + sum - bytes, kept};
    before += __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  return {before, kept};  // not reached
}

template <DType type, int kWords>
__device__ __forceinline__ void ReadDenseRow(const uint8_t* row, int head_dim, float* out) {
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const int c = w * kWarp + Lane();
    out[w] = c < head_dim ? LoadElement<type>(row, c, head_dim) : 0.0f;
  }
}

// A row of kept channels is not expanded: a lane finds its channel's place by counting the bits
// below it in the mask.
template <DType type, int kWords>
__device__ __forceinline__ void ReadSparseRow(const StoreView& store, uint32_t t,
                                              const uint8_t* row, int kept, int head_dim,
                                              float* out) {
  const uint8_t* mask = store.masks + static_cast<size_t>(t) * store.mask_stride;
  const uint8_t* sign = store.signs + static_cast<size_t>(t) * store.mask_stride;
  float scalar = 0;
  if (store.scalars != nullptr) {
    scalar = store.scalars_f32 ? reinterpret_cast<const float*>(store.scalars)[t]
                               : HalfToFloat(reinterpret_cast<const uint16_t*>(store.scalars)[t]);
  }
  int before = 0;  // kept channels of the words before
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const int c = w * kWarp + Lane();
    const bool inside = c < head_dim;
    const bool bit = inside && ((mask[inside ? c / 8 : 0] >> (c % 8)) & 1);
    const uint32_t word = __ballot_sync(kAllLanes, bit);
    float x = 0;
    if (bit) {
      const int rank = before + __popc(word & ((1u << Lane()) - 1));
      x = LoadElement<type>(row, rank, kept);
    } else if (inside && store.scalars != nullptr) {
      x = scalar * store.fill[c];
      if (store.signs != nullptr && !((sign[c / 8] >> (c % 8)) & 1)) x = -x;
    }
    if (inside && store.centre != nullptr) x += store.centre[c];
    out[w] = x;
    before += __popc(word);
  }
}

// Tokens first + group * kTokens … of a tile, whose rows lie where `rows` says; zeros behind token
// n - 1.
template <DType type, int kWords, int kTokens>
__device__ __forceinline__ void ReadGroupAs(const StoreView& store, const TileRows& rows,
                                            uint32_t first, int group, uint32_t n, int head_dim,
                                            float (&out)[kTokens][kWords]) {
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    const int in_tile = group * kTokens + i;
    const uint32_t t = first + static_cast<uint32_t>(in_tile);
    const size_t offset = __shfl_sync(kAllLanes, rows.offset, in_tile);
    const int kept = __shfl_sync(kAllLanes, rows.kept, in_tile);
    if (t >= n) {
#pragma unroll
      for (int w = 0; w < kWords; ++w) out[i][w] = 0;
    } else if (store.masks == nullptr) {
      ReadDenseRow<type, kWords>(store.rows + offset, head_dim, out[i]);
    } else {
      ReadSparseRow<type, kWords>(store, t, store.rows + offset, kept, head_dim, out[i]);
    }
  }
}

template <int kWords, int kTokens>
__device__ __forceinline__ void ReadGroup(const StoreView& store, const TileRows& rows,
                                          uint32_t first, int group, uint32_t n, int head_dim,
                                          float (&out)[kTokens][kWords]) {
  switch (store.type) {
    case DType::kF32:
      return ReadGroupAs<DType::kF32>(store, rows, first, group, n, head_dim, out);
    case DType::kF16:
      return ReadGroupAs<DType::kF16>(store, rows, first, group, n, head_dim, out);
    case DType::kBF16:
      return ReadGroupAs<DType::kBF16>(store, rows, first, group, n, head_dim, out);
    case DType::kQ8_0:
      return ReadGroupAs<DType::kQ8_0>(store, rows, first, group, n, head_dim, out);
    default:
      return ReadGroupAs<DType::kQ4_0>(store, rows, first, group, n, head_dim, out);
  }
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_READ_ROWS_CU_H_
