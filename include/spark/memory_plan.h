// What a session would take, without starting one.
#ifndef SPARK_MEMORY_PLAN_H_
#define SPARK_MEMORY_PLAN_H_

#include <cstdint>
#include <string>

#include "spark/kv_cache.h"
#include "spark/model.h"
#include "spark/session.h"

namespace spark {

struct MemoryPlan {
  size_t n_tokens = 0;        // of the context
  uint64_t weights = 0;       // the file; mapped pages that are not used take no memory
  KvBytes kv;                 // of a context of n_tokens, compressed
  uint64_t kv_dense_f16 = 0;  // the same, uncompressed in f16
  size_t chunk = 0;           // tokens of it that are compressed together; n_tokens: all
  uint64_t dense_layer = 0;   // the one layer that is dense (in f32) while a chunk is processed
  uint64_t queries = 0;       // of that layer, as far back as the plan looks at them
  size_t tail_tokens = 0;     // behind the context, at most; 0: there is no decode interval
  uint64_t dense_tail = 0;    // these, in all layers
  uint64_t scratch = 0;       // activations, estimated

  // With the backend "cuda", in the memory of its GPU, as well as on the host: 0 otherwise.
  uint64_t gpu_weights = 0;
  uint64_t gpu_kv = 0;     // compressed, and the tail, if only of the tokens it first has room for
  uint64_t gpu_layer = 0;  // the one layer in f32, and what compressing it there takes besides
  uint64_t gpu_scratch = 0;  // activations, a tile of weights in f16; estimated

  uint64_t gpu_total() const { return gpu_weights + gpu_kv + gpu_layer + gpu_scratch; }
  uint64_t total() const {
    return weights + kv.total() + dense_layer + queries + dense_tail + scratch;
  }
};

// For a context that fills the session.
MemoryPlan PlanMemory(const Model& model, const SessionOptions& options);

// Some lines for people.
std::string ToText(const MemoryPlan& plan);
// Those of the GPU alone; empty if there is none.
std::string GpuText(const MemoryPlan& plan);

}  // namespace spark

#endif  // SPARK_MEMORY_PLAN_H_
