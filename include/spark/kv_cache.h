// What a KV cache holds, in bytes that were really allocated.
#ifndef SPARK_KV_CACHE_H_
#define SPARK_KV_CACHE_H_

#include <cstddef>

namespace spark {

// Bytes by part, summed over layers and heads. The stores are asked what they allocated; nothing
// here is computed from a ratio.
struct KvBytes {
  size_t key_values = 0;  // dense keys, or the kept values of pruned ones
  size_t key_masks = 0;   // which channels are kept: bit masks, or ThinK's channel lists; the order
                          // of pruned ones where recovery is sampled
  size_t key_signs = 0;   // signs of pruned channels
  size_t key_scalars = 0;  // one scalar a token (moments as well where recovery is sampled),
                           // 1/sqrt(w) once a head
  size_t values = 0;       // values of the context
  size_t dense_tail = 0;   // keys and values of tokens that came after the context

  size_t total() const {
    return key_values + key_masks + key_signs + key_scalars + values + dense_tail;
  }
};

}  // namespace spark

#endif  // SPARK_KV_CACHE_H_
