// What a backend is asked for when it compresses keys where they are.
#ifndef SPARK_BACKEND_KEY_PRUNING_H_
#define SPARK_BACKEND_KEY_PRUNING_H_

#include <cstddef>
#include <functional>
#include <vector>

#include "base/dtype.h"

namespace spark {

// Tokens [first, first + n_tokens) of every head's tail become a SparseStore with recovery `mean`:
// of each, the n_kept channels with the largest k[j]² w[j] stay, w[j] being how much the queries
// use channel j. compress/spark.h says it in full.
struct KeyPruning {
  size_t first = 0, n_tokens = 0;
  size_t n_kept = 0;             // 1 … head_dim - 1
  bool rms = false;              // w[j]: WeightNorm::kRms, else kNorm
  DType type = DType::kF16;      // of kept values
  size_t window = 0, group = 0;  // of queries; neither is 0
  // They themselves, [n_kv_heads, window, group, head_dim]. Only a backend that packs keys asks.
  std::function<std::vector<float>()> queries{};
};

}  // namespace spark

#endif  // SPARK_BACKEND_KEY_PRUNING_H_
