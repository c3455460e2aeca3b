// What a channel stage is: a method that decides how the keys of one head are stored.
#ifndef SPARK_COMPRESS_STAGE_H_
#define SPARK_COMPRESS_STAGE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kv/kv_cache.h"

namespace spark {

// The context of one KV head, as computed: before any rounding to a storage type.
struct HeadContext {
  const float* keys = nullptr;  // [n_tokens, head_dim], RoPE applied
  size_t n_tokens = 0;
  size_t head_dim = 0;
  const float* queries =
      nullptr;  // [window, group, head_dim], the last queries of the group's heads
  size_t window = 0;
  size_t group = 0;
};

// Some of a head's keys in one layout. `first` and `count` say which tokens, in the context's
// order.
struct KeySegment {
  KeyStore keys;
  size_t first = 0;
  size_t count = 0;
};

class ChannelStage {
 public:
  virtual ~ChannelStage() = default;

  // How many of the prompt's last queries Compress() needs.
  virtual size_t window() const = 0;

  // Packs all keys of a head; the segments cover every token once. Kept values take `type`.
  // Const and without shared state: heads are compressed in parallel.
  virtual std::vector<KeySegment> Compress(const HeadContext& head, DType type) const = 0;
};

// Keys [first, first + count) as they are.
KeySegment DenseKeys(const HeadContext& head, size_t first, size_t count, DType type);

// floor(ratio * dim) channels go; the nudge makes 0.3 * 10 remove 3, though 0.3 is a little less.
inline size_t KeptChannels(double ratio, size_t dim) {
  return dim - static_cast<size_t>(ratio * static_cast<double>(dim) + 1e-9);
}

}  // namespace spark

#endif  // SPARK_COMPRESS_STAGE_H_
