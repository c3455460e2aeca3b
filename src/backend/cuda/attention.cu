#include <algorithm>
#include <string>
#include <type_traits>

#include "backend/cuda/attention.cu.h"
#include "backend/cuda/attention.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

// Blocks that share a head's tokens, at most: each leaves a partial sum for every query row.
constexpr size_t kMostSplits = 64;

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

template <int kWords>
void LaunchAttend(int rows_of_block, dim3 grid, Stream stream, const AttendArguments& arguments) {
  const dim3 block(kAttendWarps * kWarp);
  if (rows_of_block == 1) {
    Launch(AttendRows<kWords, 1>, grid, block, 0, stream, arguments);
  } else if (rows_of_block == 4) {
    Launch(AttendRows<kWords, 4>, grid, block, 0, stream, arguments);
  } else if constexpr (kWords <= 4) {
    Launch(AttendRows<kWords, 8>, grid, block, 0, stream, arguments);
  }
}

}  // namespace

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
  const dim3 grid(static_cast<unsigned>(row_blocks), static_cast<unsigned>(n_kv_heads * splits));
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
  constexpr int kRows = 4;
  const UploadedStores uploaded(keys, staging_);
  const size_t n = Size(keys);
  if (n == 0) return;
  const size_t tiles = (n + kTileTokens - 1) / kTileTokens;
  const dim3 grid(static_cast<unsigned>((tiles + kAttendWarps - 1) / kAttendWarps),
                  static_cast<unsigned>((group + kRows - 1) / kRows));
  WithWords(head_dim, [&](auto words) {
    Launch(ScoreRows<decltype(words)::value, kRows>, grid, dim3(kAttendWarps * kWarp), 0, stream_,
           q, static_cast<int>(group), static_cast<int>(head_dim), uploaded.view().keys,
           static_cast<uint32_t>(n), scores);
  });
  Synchronize(stream_);  // the upload ends with this call
}

}  // namespace spark::cuda
