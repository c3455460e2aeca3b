// Which part of a context's keys a plan has left.
#ifndef SPARK_GENERATE_KEPT_H_
#define SPARK_GENERATE_KEPT_H_

#include <cstddef>

#include "kv/kv_cache.h"
#include "spark/session.h"

namespace spark {

// `n_tokens`: of the context that `cache` was made of.
KeptShares CountKept(const KvCache& cache, size_t n_tokens);

}  // namespace spark

#endif  // SPARK_GENERATE_KEPT_H_
