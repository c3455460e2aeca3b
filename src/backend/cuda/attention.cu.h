// Attention from the packed cache. A warp takes a tile of 32 tokens: it reads their keys into
// registers, a few at a time, so that a score comes to lie in each lane; updates the softmax of
// every query row it serves; and adds the tile's values. Warps of a block, and blocks that share a
// head's tokens, each fold tiles of their own and are combined in a fixed order.
#ifndef SPARK_BACKEND_CUDA_ATTENTION_CU_H_
#define SPARK_BACKEND_CUDA_ATTENTION_CU_H_

#include "backend/cuda/attention_launch.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kv_views.h"
#include "backend/cuda/lane_scores.cu.h"
#include "backend/cuda/read_rows.cu.h"

namespace spark::cuda {

// Registers and shared memory of a warp's rows: kRows query rows, heads of up to 32 kWords
// channels.
template <int kWords, int kRows>
struct AttendShape {
  static constexpr int kChannels = kWords * kWarp;
  // Keys in registers at a time, and how many such groups are a tile.
  static constexpr int kGroup = kWords > 2 ? 4 : 8;
  static constexpr int kGroups = kTileTokens / kGroup;
  // Blocks that a multiprocessor shall hold at once: what the registers of the sums leave room for.
  static constexpr int kBlocks = kWords * kRows > 16 ? 2 : kWords* kRows >= 8 ? 3 : 4;
  // A score's place after the sums over lanes (ScoreGroup): token of the tile that lane l ends
  // with.
  __device__ static int TokenOfLane() { return kGroup * (Lane() % kGroups) + Lane() / kGroups; }
};

// Sums v[i] over all lanes for kGroup values at once: each step halves the values and pairs lanes,
// so that lane l is left with value l / (32 / kGroup).
template <int kGroup>
__device__ __forceinline__ float SumOverLanes(float (&v)[kGroup]) {
  int step = kWarp / 2;
#pragma unroll
  for (int half = kGroup / 2; half > 0; half /= 2, step /= 2) {
    const bool upper = Lane() & step;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float give = upper ? v[i] : v[i + half];
      const float keep = upper ? v[i + half] : v[i];
      v[i] = keep + __shfl_xor_sync(kAllLanes, give, step);
    }
  }
  float sum = v[0];
  for (; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}

// Products of kRows queries with the keys of a tile; a lane gets those of token TokenOfLane().
// q: [kRows, kChannels] in shared memory, zeros behind head_dim
template <int kWords, int kRows, class Queries>
__device__ __forceinline__ void TileScores(Queries& q, const StoreView& keys, uint32_t first,
                                           uint32_t n, int head_dim, float (&scores)[kRows]) {
  using Shape = AttendShape<kWords, kRows>;
  if (keys.lanes) {
    const uint32_t token = first + static_cast<uint32_t>(Shape::TokenOfLane());
    return LaneScores<Shape::kChannels>(q, keys, min(token, n - 1), head_dim, scores);
  }
  const TileRows rows = FindRows(keys, first, n);
  for (int group = 0; group < Shape::kGroups; ++group) {
    float key[Shape::kGroup][kWords];
    ReadGroup(keys, rows, first, group, n, head_dim, key);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float products[Shape::kGroup] = {};
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        const float element = q[r * Shape::kChannels + w * kWarp + Lane()];
#pragma unroll
        for (int i = 0; i < Shape::kGroup; ++i) products[i] += element * key[i][w];
      }
      const float sum = SumOverLanes(products);
      if (Lane() % Shape::kGroups == group) scores[r] = sum;
    }
  }
}

// Query rows of a KV head: the heads of its group, token after token. Row r of a block belongs to a
// token of the batch; behind the last one, to none.
__device__ __forceinline__ uint32_t TokenOfRow(const AttendArguments& a, uint32_t row) {
  return row / (a.n_heads / a.n_kv_heads);
}
// Where the row's q and out begin, in heads.
__device__ __forceinline__ size_t HeadOfRow(const AttendArguments& a, uint32_t kv_head,
                                            uint32_t row) {
  const uint32_t group = a.n_heads / a.n_kv_heads;
  return static_cast<size_t>(row / group) * a.n_heads + kv_head * group + row % group;
}
__device__ __forceinline__ uint32_t PositionOf(const AttendArguments& a, uint32_t token) {
  return a.next_position - a.n + token;
}
__device__ __forceinline__ uint32_t FirstVisible(const AttendArguments& a, uint32_t position) {
  return a.window == 0 || position < a.window ? 0 : position + 1 - a.window;
}

// What a row's fold knows: out = sums / total, up to a factor exp(-largest) in both. Channels of
// sums are spread over lanes as in read_rows.cu.h.
template <int kWords>
struct Fold {
  float largest = -INFINITY;
  float total = 0;
  float sums[kWords] = {};

  // Makes room for a larger largest score.
  __device__ void Raise(float score) {
    if (score <= largest) return;
    const float factor = largest == -INFINITY ? 0.0f : expf(largest - score);
    largest = score;
    total *= factor;
#pragma unroll
    for (int w = 0; w < kWords; ++w) sums[w] *= factor;
  }
};

// Positions of a segment's tokens, for windows and the causal tail.
struct Positions {
  bool known, causal;
  uint32_t first;
  const uint32_t* listed;
  __device__ uint32_t At(uint32_t t) const { return listed != nullptr ? listed[t] : first + t; }
};

// What a block's rows have in common: tokens of the batch, ascending, and the tokens that they see.
template <int kRows>
struct BlockRows {
  uint32_t tokens[kRows];
  __device__ bool Valid(const AttendArguments& a, int r) const { return tokens[r] < a.n; }
  __device__ bool Sees(const AttendArguments& a, int r, const Positions& positions,
                       uint32_t t) const {
    if (!positions.known) return true;
    const uint32_t at = positions.At(t), own = PositionOf(a, tokens[r]);
    return at >= FirstVisible(a, own) && (!positions.causal || at <= own);
  }
  // Whether any of them may see one of the tokens first to last.
  __device__ bool AnySees(const AttendArguments& a, const Positions& positions, uint32_t first,
                          uint32_t last) const {
    if (!positions.known) return true;
    const uint32_t earliest = PositionOf(a, tokens[0]);
    const uint32_t latest = PositionOf(a, min(tokens[kRows - 1], a.n - 1));
    return positions.At(last) >= FirstVisible(a, earliest) &&
           (!positions.causal || positions.At(first) <= latest);
  }
};

// One tile of a segment, for all rows of the block. The weights of this warp: [kRows, kTileTokens]
// from weights[own] on.
template <int kWords, int kRows, class Queries, class Weights>
__device__ __forceinline__ void FoldTile(const AttendArguments& a, Queries& q, Weights& weights,
                                         int own, const SegmentView& segment,
                                         const Positions& positions, const BlockRows<kRows>& rows,
                                         uint32_t first, uint32_t n, Fold<kWords> (&folds)[kRows]) {
  using Shape = AttendShape<kWords, kRows>;
  const int head_dim = static_cast<int>(a.head_dim);
  float scores[kRows] = {};
  TileScores<kWords, kRows>(q, segment.keys, first, n, head_dim, scores);

  const uint32_t token = first + static_cast<uint32_t>(Shape::TokenOfLane());
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    float score = scores[r] * a.scale;
    if (a.softcap > 0) score = a.softcap * tanhf(score / a.softcap);
    const bool seen = rows.Valid(a, r) && token < n && rows.Sees(a, r, positions, token);
    folds[r].Raise(WarpMax(seen ? score : -INFINITY));
    const float weight = seen ? expf(score - folds[r].largest) : 0.0f;
    folds[r].total += WarpSum(weight);
    weights[own + r * kTileTokens + Shape::TokenOfLane()] = weight;
  }
  __syncwarp(kAllLanes);

  const TileRows value_rows = FindRows(segment.values, first, n);
  for (int group = 0; group < Shape::kGroups; ++group) {
    float value[Shape::kGroup][kWords];
    ReadGroup(segment.values, value_rows, first, group, n, head_dim, value);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < Shape::kGroup; ++i) {
        const float weight = weights[own + r * kTileTokens + group * Shape::kGroup + i];
#pragma unroll
        for (int w = 0; w < kWords; ++w) folds[r].sums[w] += weight * value[i][w];
      }
    }
  }
  __syncwarp(kAllLanes);  // the next tile writes other weights
}

__device__ __forceinline__ uint32_t Tiles(uint32_t n) {
  return (n + kTileTokens - 1) / kTileTokens;
}
__device__ __forceinline__ uint32_t TokensOf(const AttendArguments& a, const SegmentView& s) {
  return s.is_tail ? a.n_tail : s.n_tokens;
}

// This warp's tiles of the block's share of a head's tokens: every kAttendWarps-th.
template <int kWords, int kRows, class Queries, class Weights>
__device__ __forceinline__ void FoldShare(const AttendArguments& a, Queries& q, Weights& weights,
                                          uint32_t kv_head, uint32_t split,
                                          const BlockRows<kRows>& rows,
                                          Fold<kWords> (&folds)[kRows]) {
  const uint32_t begin = a.head_begins[kv_head], end = a.head_begins[kv_head + 1];
  uint32_t tiles = 0;
  for (uint32_t s = begin; s < end; ++s) tiles += Tiles(TokensOf(a, a.segments[s]));
  const uint32_t share_begin =
      static_cast<uint32_t>(static_cast<uint64_t>(tiles) * split / a.splits);
  const uint32_t share_end =
      static_cast<uint32_t>(static_cast<uint64_t>(tiles) * (split + 1) / a.splits);

  uint32_t s = begin, before = 0;  // tiles of the segments before s
  for (uint32_t tile = share_begin + static_cast<uint32_t>(WarpInBlock()); tile < share_end;
       tile += kAttendWarps) {
    while (tile >= before + Tiles(TokensOf(a, a.segments[s]))) {
      before += Tiles(TokensOf(a, a.segments[s++]));
    }
    const SegmentView& segment = a.segments[s];
    const uint32_t n = TokensOf(a, segment);
    const uint32_t first = (tile - before) * kTileTokens;
    const Positions positions{segment.is_tail || segment.has_positions, segment.is_tail,
                              segment.is_tail ? a.next_position - a.n_tail : segment.first_position,
                              segment.positions};
    if (!rows.AnySees(a, positions, first, min(first + kTileTokens, n) - 1)) continue;
    FoldTile<kWords, kRows>(a, q, weights, WarpInBlock() * kRows * kTileTokens, segment, positions,
                            rows, first, n, folds);
  }
}

// Adds what the warps before left in shared memory to a warp's fold, and leaves the sum there.
template <int kWords, class Sums, class Scalars>
__device__ __forceinline__ void AddToBlock(Fold<kWords>& fold, bool is_first, int r, Sums& sums,
                                           Scalars& largest, Scalars& total) {
  const int base = r * kWords * kWarp + Lane();
  if (!is_first) {
    const float other = largest[r];
    fold.Raise(other);
    const float factor = other == -INFINITY ? 0.0f : expf(other - fold.largest);
    fold.total += factor * total[r];
#pragma unroll
    for (int w = 0; w < kWords; ++w) fold.sums[w] += factor * sums[base + w * kWarp];
  }
  __syncwarp(kAllLanes);  // every lane has read what lane 0 writes
  if (Lane() == 0) {
    largest[r] = fold.largest;
    total[r] = fold.total;
  }
#pragma unroll
  for (int w = 0; w < kWords; ++w) sums[base + w * kWarp] = fold.sums[w];
}

// Blocks (row_block, kv_head * splits + split), kRows query rows each: the heads of a group, token
// after token.
template <int kWords, int kRows>
__global__ void __launch_bounds__(kAttendWarps* kWarp, AttendShape<kWords, kRows>::kBlocks)
    AttendRows(AttendArguments a) {
  using Shape = AttendShape<kWords, kRows>;
  SPARK_SHARED(float, q, kRows* Shape::kChannels);
  SPARK_SHARED(float, weights, kAttendWarps* kRows* kTileTokens);
  SPARK_SHARED(float, sums, kRows* Shape::kChannels);
  SPARK_SHARED(float, largest, kRows);
  SPARK_SHARED(float, total, kRows);

  const uint32_t kv_head = blockIdx.y / a.splits, split = blockIdx.y % a.splits;
  const uint32_t first_row = blockIdx.x * kRows;
  BlockRows<kRows> rows;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    rows.tokens[r] = TokenOfRow(a, first_row + static_cast<uint32_t>(r));
    const float* from =
        a.q + HeadOfRow(a, kv_head, first_row + static_cast<uint32_t>(r)) * a.head_dim;
    for (uint32_t c = threadIdx.x; c < Shape::kChannels; c += kAttendWarps * kWarp) {
      q[r * Shape::kChannels + static_cast<int>(c)] =
          rows.Valid(a, r) && c < a.head_dim ? from[c] : 0.0f;
    }
  }
  __syncthreads();

  Fold<kWords> folds[kRows];
  FoldShare<kWords, kRows>(a, q, weights, kv_head, split, rows, folds);
  for (int warp = 0; warp < kAttendWarps; ++warp) {
    if (WarpInBlock() == warp) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) AddToBlock(folds[r], warp == 0, r, sums, largest, total);
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (!rows.Valid(a, r)) continue;
    const size_t row = HeadOfRow(a, kv_head, first_row + static_cast<uint32_t>(r));
    const size_t n_rows = static_cast<size_t>(a.n) * a.n_heads;
    float* partial = a.partial + (split * n_rows + row) * (a.head_dim + 2);
    for (uint32_t c = threadIdx.x; c < a.head_dim; c += kAttendWarps * kWarp) {
      const float sum = sums[r * Shape::kChannels + static_cast<int>(c)];
      if (a.splits == 1) {
        a.out[row * a.head_dim + c] = sum / total[r];
      } else {
        partial[c] = sum;
      }
    }
    if (a.splits > 1 && threadIdx.x == 0) {
      partial[a.head_dim] = largest[r];
      partial[a.head_dim + 1] = total[r];
    }
  }
}

// scores[r, t] = q[r] · key t, for `group` rows, kRows at a time (blockIdx.y). A warp a tile.
template <int kWords, int kRows>
__global__ void __launch_bounds__(kAttendWarps* kWarp)
    ScoreRows(const float* queries, int group, int head_dim, StoreView keys, uint32_t n,
              float* scores) {
  using Shape = AttendShape<kWords, kRows>;
  SPARK_SHARED(float, q, kRows* Shape::kChannels);
  const int first_row = static_cast<int>(blockIdx.y) * kRows;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * Shape::kChannels;
       i += kAttendWarps * kWarp) {
    const int row = first_row + i / Shape::kChannels, c = i % Shape::kChannels;
    q[i] = row < group && c < head_dim ? queries[row * head_dim + c] : 0.0f;
  }
  __syncthreads();
  const uint32_t first =
      (blockIdx.x * kAttendWarps + static_cast<uint32_t>(WarpInBlock())) * kTileTokens;
  if (first >= n) return;
  float of_lane[kRows] = {};
  TileScores<kWords, kRows>(q, keys, first, n, head_dim, of_lane);
  const uint32_t token = first + static_cast<uint32_t>(Shape::TokenOfLane());
  for (int r = 0; r < kRows; ++r) {
    if (first_row + r < group && token < n) {
      scores[static_cast<size_t>(first_row + r) * n + token] = of_lane[r];
    }
  }
}

// Definitions for attention_launch.h; attention_*.cu have one of them each.
template <int kWords>
void LaunchAttend(int rows_of_block, AttendGrid grid, Stream stream,
                  const AttendArguments& arguments) {
  const dim3 blocks(grid.row_blocks, grid.heads_and_splits), threads(kAttendWarps * kWarp);
  if (rows_of_block == 1) {
    Launch(AttendRows<kWords, 1>, blocks, threads, 0, stream, arguments);
  } else if (rows_of_block == 4) {
    Launch(AttendRows<kWords, 4>, blocks, threads, 0, stream, arguments);
  } else if constexpr (kWords <= 4) {
    Launch(AttendRows<kWords, 8>, blocks, threads, 0, stream, arguments);
  }
}

template <int kWords>
void LaunchScores(const float* q, size_t group, size_t head_dim, const StoreView& keys, size_t n,
                  Stream stream, float* scores) {
  constexpr int kRows = 4;
  const size_t tiles = (n + kTileTokens - 1) / kTileTokens;
  const dim3 grid(static_cast<unsigned>((tiles + kAttendWarps - 1) / kAttendWarps),
                  static_cast<unsigned>((group + kRows - 1) / kRows));
  Launch(ScoreRows<kWords, kRows>, grid, dim3(kAttendWarps * kWarp), 0, stream, q,
         static_cast<int>(group), static_cast<int>(head_dim), keys, static_cast<uint32_t>(n),
         scores);
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_ATTENTION_CU_H_
