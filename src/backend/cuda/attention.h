// Attention over a layer's cache, which is mirrored on the device.
#ifndef SPARK_BACKEND_CUDA_ATTENTION_H_
#define SPARK_BACKEND_CUDA_ATTENTION_H_

#include <cstddef>

#include "backend/backend.h"
#include "backend/cuda/kv_mirror.h"
#include "backend/cuda/memory.h"

namespace spark::cuda {

class Attention {
 public:
  // `multiprocessors` of the device: how far tokens are spread over blocks.
  Attention(Stream stream, Staging& staging, int multiprocessors)
      : stream_(stream), staging_(staging), mirror_(staging), multiprocessors_(multiprocessors) {}

  // As Backend's operations of these names, in GPU memory. Throw Error for heads of more than 256
  // channels.
  void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
              const ScoreScale& scale, float* out);
  void Scores(const float* q, size_t group, size_t head_dim, const KeyStore& keys, float* scores);

  KvMirror& mirror() { return mirror_; }

 private:
  Stream stream_;
  Staging& staging_;
  KvMirror mirror_;
  int multiprocessors_;
  DeviceMemory partial_;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_ATTENTION_H_
