// A loop's items shared among OpenMP threads, and threads that stay awake from one loop to the
// next.
#ifndef SPARK_BASE_THREAD_TEAM_H_
#define SPARK_BASE_THREAD_TEAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace spark {

// One thread at a time uses a team: the caller of Together() and For(), which takes part as thread
// 0. Helpers serve its loops from inside one parallel region: they spin for some microseconds, then
// sleep. A loop begins with a store and ends when those helpers that took items have finished them,
// so a helper that the system has put aside delays nobody, except at the end of the region.
class ThreadTeam {
 public:
  explicit ThreadTeam(int threads) : size_(threads < 1 ? 1 : threads) {}
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  size_t size() const { return static_cast<size_t>(size_); }

  // Calls body() with all threads ready for the loops in it. A token passes through hundreds of
  // loops, and opening a parallel region for each of them took longer than the shorter ones' work.
  // OpenMP loops of others inside `body` run on the caller alone.
  template <class Body>
  void Together(const Body& body) {
    if (size_ == 1 || open_) {
      body();
    } else {
      Open(&Call<Body>, &body);
    }
  }

  // Calls body(item, thread) for every item in [0, count), thread in [0, size()), and returns when
  // all are done. Whoever is free takes the next item, so `body` must give the same result on any
  // thread: items write to places of their own, sums over items are made afterwards, in order. That
  // keeps results independent of timing and of size(). `body` must neither throw nor call For().
  // count < 2^32 - 1.
  template <class Body>
  void For(size_t count, const Body& body) {
    if (size_ == 1 || count <= 1) {
      for (size_t i = 0; i < count; ++i) body(i, size_t{0});
    } else {
      Together([&] { Loop(count, &CallItem<Body>, &body); });
    }
  }

 private:
  using Function = void (*)(const void* body);
  using ItemFunction = void (*)(const void* body, size_t item, size_t thread);

  template <class Body>
  static void Call(const void* body) {
    (*static_cast<const Body*>(body))();
  }
  template <class Body>
  static void CallItem(const void* body, size_t item, size_t thread) {
    (*static_cast<const Body*>(body))(item, thread);
  }

  void Open(Function call, const void* body);
  void Loop(size_t count, ItemFunction call, const void* body);
  void Serve(size_t thread);
  size_t TakeItems(size_t thread);

  const int size_;
  bool open_ = false;  // inside Together()

  // The loop under way. Its number is in the upper half of ticket_, the next item to take in the
  // lower one, so taking an item fails when the loop is no longer the one that was looked at.
  std::atomic<ItemFunction> call_{nullptr};
  std::atomic<const void*> body_{nullptr};
  std::atomic<uint32_t> count_{0};
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<size_t> done_{0};  // items that helpers have finished
};

}  // namespace spark

#endif  // SPARK_BASE_THREAD_TEAM_H_
