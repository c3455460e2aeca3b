// A loop's items shared among threads that wait for the next loop.
//
// Why not `omp parallel for`: its threads meet at a barrier, spinning, so one that the system has
// put aside holds up all the others. On a machine that has other work, decoding was 10 times slower
// with two OpenMP threads than with one (docs/decisions.md). Here nobody waits for a thread that
// has not begun to help: the caller does what is left by itself.
#ifndef SPARK_BASE_THREAD_TEAM_H_
#define SPARK_BASE_THREAD_TEAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace spark {

class ThreadTeam {
 public:
  // The caller of For() is one of the threads; the others start with the first loop.
  explicit ThreadTeam(int threads) : size_(threads < 1 ? 1 : static_cast<size_t>(threads)) {}
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  size_t size() const { return size_; }

  // Calls body(item, thread) for every item in [0, count), thread in [0, size()), and returns when
  // all are done. Whoever is free takes the next item, so `body` must give the same result on any
  // thread: items write to places of their own, sums over items are made afterwards, in order. That
  // keeps results independent of timing and of size(). `body` must neither throw nor call For().
  // One thread calls For() at a time.
  template <class Body>
  void For(size_t count, const Body& body) {
    if (size_ == 1 || count <= 1) {
      for (size_t i = 0; i < count; ++i) body(i, size_t{0});
      return;
    }
    Run({[](const void* object, size_t item, size_t thread) {
           (*static_cast<const Body*>(object))(item, thread);
         },
         &body, count});
  }

 private:
  struct Job {
    void (*call)(const void* body, size_t item, size_t thread) = nullptr;
    const void* body = nullptr;
    size_t count = 0;
  };

  void Run(const Job& job);
  void Work(size_t thread);  // takes items of job_ until none is left
  void Helper(size_t thread);

  size_t size_;
  std::vector<std::thread> helpers_;
  Job job_;                          // changes only while no helper is inside
  std::atomic<size_t> next_{0};      // the next item of job_
  std::atomic<bool> open_{false};    // helpers may enter
  std::atomic<size_t> inside_{0};    // helpers that look at job_
  std::atomic<uint32_t> rounds_{0};  // counts jobs; what helpers wait on
  std::atomic<bool> stop_{false};
};

}  // namespace spark

#endif  // SPARK_BASE_THREAD_TEAM_H_
