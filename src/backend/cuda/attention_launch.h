// The attention kernels (attention.cu.h) as host code starts them. There is a file of each width of
// heads, attention_64.cu and so on: they take long to compile, and do so beside each other.
#ifndef SPARK_BACKEND_CUDA_ATTENTION_LAUNCH_H_
#define SPARK_BACKEND_CUDA_ATTENTION_LAUNCH_H_

#include <cstddef>
#include <cstdint>

#include "backend/cuda/kv_views.h"
#include "backend/cuda/runtime.h"

namespace spark::cuda {

inline constexpr int kTileTokens = 32;  // tokens that a warp takes at a time: a score a lane
inline constexpr int kAttendWarps = 4;  // of a block

struct AttendArguments {
  const float* q = nullptr;               // [n, n_heads, head_dim]
  float* out = nullptr;                   // the same
  const SegmentView* segments = nullptr;  // of all KV heads, one head after the other
  const uint32_t* head_begins = nullptr;  // [n_kv_heads + 1]: a head's first segment
  uint32_t n_tail = 0;
  uint32_t next_position = 0;  // of the token to come: the last query's, plus one
  uint32_t window = 0;         // 0: none
  uint32_t n = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  float scale = 1, softcap = 0;
  uint32_t splits = 1;       // blocks that share a head's tokens
  float* partial = nullptr;  // [splits, n, n_heads, head_dim + 2]: sums, largest score, sum of exp
};

// Blocks: (query rows in pieces of `rows_of_block`, kv_head * splits + split).
struct AttendGrid {
  unsigned row_blocks = 0, heads_and_splits = 0;
};

// For heads of up to 32 kWords channels, kWords = 2, 4 or 8. rows_of_block: 1, 4 or, up to 128
// channels, 8.
template <int kWords>
void LaunchAttend(int rows_of_block, AttendGrid grid, Stream stream,
                  const AttendArguments& arguments);

// scores[r, t] = q[r] · key t. q: [group, head_dim], scores: [group, n]
template <int kWords>
void LaunchScores(const float* q, size_t group, size_t head_dim, const StoreView& keys, size_t n,
                  Stream stream, float* scores);

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_ATTENTION_LAUNCH_H_
