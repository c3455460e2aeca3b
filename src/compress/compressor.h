// Applies a plan to a layer's cache.
#ifndef SPARK_COMPRESS_COMPRESSOR_H_
#define SPARK_COMPRESS_COMPRESSOR_H_

#include "backend/backend.h"
#include "kv/kv_cache.h"
#include "model/transformer.h"
#include "spark/compression.h"

namespace spark {

// Where a pass stands.
struct CompressionPass {
  size_t layer = 0;
  size_t n_layers = 0;
  size_t next_position = 0;  // of the token behind the newest one in the tail
  const RopeConfig* rope = nullptr;
  std::span<const float> rope_frequencies{};
  int threads = 1;
  bool begins = true;          // the tail's first token is the context's first
  bool ends = true;            // the tail's last token is the newest there will be in this prefill
  bool generated = false;      // over tokens that came after the context: see CompressLayer()
  Backend* backend = nullptr;  // is asked for what it can do of the work, if there is one
};

// Moves tokens from the tails of every head into closed segments that `plan` chooses. `queries`
// holds the last queries of all heads, at most plan.window() of them.
//
// Over a context (or a chunk of it, after which the tail is empty) all stages of the plan apply. A
// token stage with a ratio removes its share of the tail; one with a budget of n tokens leaves n of
// context and tail together. Over generated tokens a ratio does not apply, a budget does; the
// newest ChannelStage::keep() tokens stay in the tail.
// Heads run on `pass.threads` threads; the result does not depend on how many.
void CompressLayer(const CompressionPlan& plan, const CompressionPass& pass,
                   const WindowQueries& queries, size_t n_heads, LayerCache& layer);

DType ToDType(CacheType type);

}  // namespace spark

#endif  // SPARK_COMPRESS_COMPRESSOR_H_
