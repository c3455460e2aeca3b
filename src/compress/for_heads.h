// The loop over the KV heads of a layer.
#ifndef SPARK_COMPRESS_FOR_HEADS_H_
#define SPARK_COMPRESS_FOR_HEADS_H_

#include <cstddef>
#include <exception>

namespace spark {

// Runs body(h) for every KV head in parallel. An exception may not leave a parallel region: one of
// those thrown is thrown again behind it.
template <class Body>
void ForHeads(size_t n_heads, int threads, const Body& body) {
  std::exception_ptr failure;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (size_t h = 0; h < n_heads; ++h) {
    try {
      body(h);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace spark

#endif  // SPARK_COMPRESS_FOR_HEADS_H_
