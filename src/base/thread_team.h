// A loop's items shared among OpenMP threads.
#ifndef SPARK_BASE_THREAD_TEAM_H_
#define SPARK_BASE_THREAD_TEAM_H_

#include <omp.h>

#include <atomic>
#include <cstddef>

namespace spark {

class ThreadTeam {
 public:
  // The caller of For() is one of the threads.
  explicit ThreadTeam(int threads) : size_(threads < 1 ? 1 : threads) {}

  size_t size() const { return static_cast<size_t>(size_); }

  // Calls body(item, thread) for every item in [0, count), thread in [0, size()), and returns when
  // all are done. Whoever is free takes the next item, so `body` must give the same result on any
  // thread: items write to places of their own, sums over items are made afterwards, in order. That
  // keeps results independent of timing and of size(). `body` must neither throw nor call For().
  template <class Body>
  void For(size_t count, const Body& body) const {
    if (size_ == 1 || count <= 1) {
      for (size_t i = 0; i < count; ++i) body(i, size_t{0});
      return;
    }
    std::atomic<size_t> next{0};
#pragma omp parallel num_threads(size_)
    {
      const auto thread = static_cast<size_t>(omp_get_thread_num());
      for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(i, thread);
    }
  }

 private:
  int size_;
};

}  // namespace spark

#endif  // SPARK_BASE_THREAD_TEAM_H_
