// Options of the sessions that the CUDA backend runs beside others.
#ifndef SPARK_TESTS_CUDA_SESSION_OPTIONS_H_
#define SPARK_TESTS_CUDA_SESSION_OPTIONS_H_

#include <string>

#include "spark/session.h"

namespace spark {

inline SessionOptions Options(const std::string& backend, const std::string& plan, CacheType type) {
  SessionOptions options;
  options.backend = backend;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = type;
  options.compute_f32 = true;
  options.threads = 1;
  return options;
}

}  // namespace spark

#endif  // SPARK_TESTS_CUDA_SESSION_OPTIONS_H_
