// Loops over independent items on a fixed number of threads.
#ifndef SPARK_BACKEND_CPU_PARALLEL_H_
#define SPARK_BACKEND_CPU_PARALLEL_H_

#include <omp.h>

#include <cstddef>

namespace spark {

// Calls body(item, thread) for every item in [0, count), thread in [0, threads). Whoever is free
// takes the next item, so `body` must give the same result on any thread: items write to their own
// places, sums over items are made afterwards, in order. That keeps results independent of timing
// and of `threads`. `body` must not throw.
template <class Body>
void ParallelFor(int threads, size_t count, const Body& body) {
  if (threads <= 1 || count <= 1) {
    for (size_t i = 0; i < count; ++i) body(i, size_t{0});
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (size_t i = 0; i < count; ++i) body(i, static_cast<size_t>(omp_get_thread_num()));
}

constexpr size_t CeilDiv(size_t a, size_t b) { return (a + b - 1) / b; }
constexpr size_t RoundUp(size_t a, size_t b) { return CeilDiv(a, b) * b; }

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_PARALLEL_H_
