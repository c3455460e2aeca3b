#include <algorithm>
#include <string>
#include <type_traits>

#include "backend/cuda/attention.h"
#include "backend/cuda/attention_launch.h"
#include "backend/cuda/device.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

// Blocks that share a head's tokens, at most: each leaves a partial sum for every query row.
constexpr size_t kMostSplits = 64;

constexpr int kCombineThreads = 128;

template <int kWords>
using Words = std::integral_constant<int, kWords>;

// Calls body(Words<…>()) for heads of up to 64, 128 or 256 channels.
template <class Body>
void WithWords(size_t head_dim, const Body& body) {
  if (head_dim > 256) {
    throw Error("the CUDA backend takes heads of up to 256 channels, not " +
                std::to_string(head_dim));
  }
  if (head_dim <= 64) return body(Words<2>());
  if (head_dim <= 128) return body(Words<4>());
  return body(Words<8>());
}

// Query rows that a block serves: as many as there are, if they are few, and as registers allow.
int RowsOfBlock(size_t rows, size_t head_dim) {
  if (rows <= 1) return 1;
  return rows <= 4 || head_dim > 128 ? 4 : 8;
}

}  // namespace

// Adds the shares of a row, first to last. A block a row.
static __global__ void __launch_bounds__(kCombineThreads) CombineShares(AttendArguments a) {
  const size_t n_rows = static_cast<size_t>(a.n) * a.n_heads;
  const size_t stride = n_rows * (a.head_dim + 2);
  const float* shares = a.partial + static_cast<size_t>(blockIdx.x) * (a.head_dim + 2);
  float largest = -INFINITY;
  for (uint32_t s = 0; s < a.splits; ++s) largest = fmaxf(largest, shares[s * stride + a.head_dim]);
  float total = 0;
  for (uint32_t s = 0; s < a.splits; ++s) {
    const float* share = shares + s * stride;
    if (share[a.head_dim] == -INFINITY) continue;
    total += share[a.head_dim + 1] * expf(share[a.head_dim] - largest);
  }
  for (uint32_t c = threadIdx.x; c < a.head_dim; c += kCombineThreads) {
    float sum = 0;
    for (uint32_t s = 0; s < a.splits; ++s) {
      const float* share = shares + s * stride;
      if (share[a.head_dim] == -INFINITY) continue;
      sum += share[c] * expf(share[a.head_dim] - largest);
    }
    a.out[static_cast<size_t>(blockIdx.x) * a.head_dim + c] = sum / total;
  }
}

void Attention::Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
                       const ScoreScale& scale, float* out) {
  const KvMirror::Layer mirrored = mirror_.Update(layer);
  const size_t n_kv_heads = layer.heads().size();
  const size_t rows = n * (n_heads / n_kv_heads);
  const int rows_of_block = RowsOfBlock(rows, layer.head_dim());
  const size_t row_blocks =
      (rows + static_cast<size_t>(rows_of_block) - 1) / static_cast<size_t>(rows_of_block);

  // Two blocks a multiprocessor, but a tile for every warp.
  const size_t blocks = row_blocks * n_kv_heads;
  const size_t wanted = (2 * static_cast<size_t>(multiprocessors_) + blocks - 1) / blocks;
  const size_t tiles = mirrored.most_tokens / kTileTokens;
  const size_t splits = std::clamp<size_t>(std::min(wanted, tiles / kAttendWarps), 1, kMostSplits);

  AttendArguments arguments;
  arguments.q = q;
  arguments.out = out;
  arguments.segments = mirrored.segments;
  arguments.head_begins = mirrored.head_begins;
  arguments.n_tail = static_cast<uint32_t>(layer.tail_size());
  arguments.next_position = static_cast<uint32_t>(layer.next_position());
  arguments.window = static_cast<uint32_t>(layer.window());
  arguments.n = static_cast<uint32_t>(n);
  arguments.n_heads = static_cast<uint32_t>(n_heads);
  arguments.n_kv_heads = static_cast<uint32_t>(n_kv_heads);
  arguments.head_dim = static_cast<uint32_t>(layer.head_dim());
  arguments.scale = scale.scale;
  arguments.softcap = scale.softcap;
  arguments.splits = static_cast<uint32_t>(splits);
  if (splits > 1) {
    partial_.Resize(splits * n * n_heads * (layer.head_dim() + 2) * sizeof(float),
                    "partial sums of attention");
    arguments.partial = partial_.As<float>();
  }
  const AttendGrid grid{static_cast<unsigned>(row_blocks),
                        static_cast<unsigned>(n_kv_heads * splits)};
  WithWords(layer.head_dim(), [&](auto words) {
    LaunchAttend<decltype(words)::value>(rows_of_block, grid, stream_, arguments);
  });
  if (splits > 1) {
    Launch(CombineShares, dim3(static_cast<unsigned>(n * n_heads)), dim3(kCombineThreads), 0,
           stream_, arguments);
  }
}

void Attention::Scores(const float* q, size_t group, size_t head_dim, const KeyStore& keys,
                       float* scores) {
  const UploadedStores uploaded(keys, staging_);
  const size_t n = Size(keys);
  if (n == 0) return;
  WithWords(head_dim, [&](auto words) {
    LaunchScores<decltype(words)::value>(q, group, head_dim, uploaded.view().keys, n, stream_,
                                         scores);
  });
  Synchronize(stream_);  // the upload ends with this call
}

}  // namespace spark::cuda
