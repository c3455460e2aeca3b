// Applies a plan to a layer's cache.
#ifndef SPARK_COMPRESS_COMPRESSOR_H_
#define SPARK_COMPRESS_COMPRESSOR_H_

#include "kv/kv_cache.h"
#include "model/transformer.h"
#include "spark/compression.h"

namespace spark {

// Moves the open context (the f32 tails of OpenContext()) of every head into closed segments that
// `plan` chooses, and opens an empty tail. Heads run on `threads` threads; the result does not
// depend on how many. `queries` holds the last plan-window queries of all heads.
void CompressLayer(const CompressionPlan& plan, const WindowQueries& queries, size_t n_heads,
                   int threads, LayerCache& layer);

DType ToDType(CacheType type);

}  // namespace spark

#endif  // SPARK_COMPRESS_COMPRESSOR_H_
