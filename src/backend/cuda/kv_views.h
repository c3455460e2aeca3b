// Stores of the KV cache as kernels see them: the arrays of src/kv/, byte for byte, in GPU memory.
#ifndef SPARK_BACKEND_CUDA_KV_VIEWS_H_
#define SPARK_BACKEND_CUDA_KV_VIEWS_H_

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace spark::cuda {

// Rows of one KV head, one a token. Three forms in one struct:
//   dense   rows of head_dim elements (kv/dense_store.h): masks is null
//   sparse  rows of the kept channels and a mask each (kv/sparse_store.h). Keys without some
//           channels (kv/dropped_store.h) are sparse rows that share one mask: mask_stride is 0.
//   lanes   tiles of 16 tokens (kv/lane_store.h): `rows` are the tiles, of row_bytes each, and of
//           the rest n_kept, order, fill and centre count. fill has zeros up to a multiple of 32
//           channels.
struct StoreView {
  bool lanes = false;
  const uint8_t* rows = nullptr;
  DType type = DType::kF32;           // f32, f16, bf16, q8_0 or q4_0
  uint32_t row_bytes = 0;             // of every row; 0: rows are as long as their masks say
  uint32_t n_kept = 0;                // channels of every row, if they are of one length
  const uint32_t* offsets = nullptr;  // else: where rows 0, 64, 128, … begin, in bytes
  const uint8_t* masks = nullptr;
  uint32_t mask_stride = 0;          // bytes from one token's mask to the next
  const uint8_t* signs = nullptr;    // [n, MaskBytes(head_dim)]; null: pruned channels are positive
  const uint8_t* scalars = nullptr;  // null: pruned channels are 0
  bool scalars_f32 = false;          // else f16
  const uint8_t* order = nullptr;    // [head_dim] lanes: the channel of each place
  const float* fill = nullptr;       // [head_dim]
  const float* centre = nullptr;     // [head_dim], or null
};

struct SegmentView {
  StoreView keys, values;
  uint32_t n_tokens = 0;
  // What a token's position is: unknown (every query sees it), first + t, or listed.
  bool has_positions = false;
  uint32_t first_position = 0;
  const uint32_t* positions = nullptr;
  // The open segment behind the others, which grows: its length and first position are given to
  // each launch, and it is causal.
  bool is_tail = false;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_KV_VIEWS_H_
