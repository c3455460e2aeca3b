#include "base/thread_team.h"

namespace spark {
namespace {

// A helper looks for the next job this many times before it sleeps: some 50 µs, longer than the
// time between two operations of a decoded token, far shorter than a time slice.
constexpr int kSpins = 2000;

void Relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadTeam::~ThreadTeam() {
  stop_.store(true);
  rounds_.fetch_add(1);
  rounds_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::Run(const Job& job) {
  for (size_t thread = helpers_.size() + 1; thread < size_; ++thread) {
    helpers_.emplace_back([this, thread] { Helper(thread); });
  }
  job_ = job;
  next_.store(0);
  open_.store(true);
  rounds_.fetch_add(1);
  rounds_.notify_all();

  Work(0);

  // Sequentially consistent, as is a helper's "enter, then look whether it is open": either it sees
  // the door closed, or it is seen inside.
  open_.store(false);
  for (int spins = 0; inside_.load() != 0; ++spins) {
    spins < kSpins ? Relax() : std::this_thread::yield();
  }
}

void ThreadTeam::Work(size_t thread) {
  const Job job = job_;
  for (size_t item = next_.fetch_add(1); item < job.count; item = next_.fetch_add(1)) {
    job.call(job.body, item, thread);
  }
}

void ThreadTeam::Helper(size_t thread) {
  uint32_t seen = 0;
  while (!stop_.load()) {
    inside_.fetch_add(1);
    if (open_.load()) Work(thread);
    inside_.fetch_sub(1);
    for (int spins = 0; rounds_.load() == seen && spins < kSpins; ++spins) Relax();
    rounds_.wait(seen);
    seen = rounds_.load();
  }
}

}  // namespace spark
