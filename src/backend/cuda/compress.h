// SparK's compression where the keys are: channel weights, selection and packing on the GPU, into
// the arrays of kv/sparse_store.h (arXiv 2508.15212; compress/spark.h does the same on the host).
#ifndef SPARK_BACKEND_CUDA_COMPRESS_H_
#define SPARK_BACKEND_CUDA_COMPRESS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cuda/kv_mirror.h"
#include "backend/cuda/kv_views.h"
#include "backend/cuda/memory.h"
#include "backend/key_pruning.h"

namespace spark::cuda {

// The keys of a layer and the queries that tell which channels count, in GPU memory.
struct CompressInput {
  const float* keys =
      nullptr;  // head h, token t, channel j: [h * head_stride + t * token_stride + j]
  size_t token_stride = 0, head_stride = 0;
  size_t n_tokens = 0, n_heads = 0;
  size_t head_dim = 0;             // at most kMostChannels
  const float* queries = nullptr;  // [n_heads, window, group, head_dim]
  size_t window = 0, group = 0;
  bool rms = false;          // WeightNorm::kRms, else kNorm
  size_t n_kept = 0;         // channels of every token, 1 … head_dim - 1
  DType type = DType::kF16;  // of kept values: f32, f16, bf16 or q8_0
};

inline constexpr size_t kMostChannels = 256;

// Keys of all heads as sparse stores with recovery `mean`, in GPU memory.
class PackedKeys {
 public:
  // Puts the work into the stream. Throws Error for a shape or type beyond those above, and when
  // there is no memory.
  PackedKeys(const CompressInput& input, Stream stream);

  size_t n_tokens() const { return n_tokens_; }
  StoreView View(size_t head) const;
  // The same stores in the host's memory, one a head. Waits for them.
  std::vector<SparseStore> ToHost(Staging& staging) const;
  size_t bytes() const { return memory_.bytes(); }

 private:
  // Where a head's arrays begin, in bytes from its own beginning; every one is aligned to 256.
  struct Layout {
    Layout(const CompressInput& input);
    size_t values, masks, signs, scalars, fill, bytes;
  };

  size_t n_tokens_, n_heads_, head_dim_, n_kept_;
  DType type_;
  Layout layout_;
  DeviceMemory memory_;
};

// Backend::PackKeys(), from the mirror's exact keys. Empty if it has none of this layer, and for
// what PackedKeys does not take.
std::vector<SparseStore> PackKeys(const KvMirror& mirror, const LayerCache& layer,
                                  const KeyPruning& pruning, Stream stream, Staging& staging);

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_COMPRESS_H_
