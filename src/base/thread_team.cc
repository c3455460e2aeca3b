#include "base/thread_team.h"

#include <omp.h>

#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace spark {
namespace {

// In place of the next item: no loop is under way; the region is over.
constexpr uint32_t kNone = UINT32_MAX - 1;
constexpr uint32_t kOver = UINT32_MAX;

// Spins before a helper sleeps, and before the caller lets others have its processor: some tens of
// microseconds, about what lies between two loops of a token and what waking a thread costs.
constexpr int kSpins = 3000;

constexpr uint64_t Ticket(uint32_t loop, uint32_t next) { return uint64_t{loop} << 32 | next; }
constexpr uint32_t LoopOf(uint64_t ticket) { return static_cast<uint32_t>(ticket >> 32); }
constexpr uint32_t NextOf(uint64_t ticket) { return static_cast<uint32_t>(ticket); }

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // `yield` does nothing on most cores, and spins would be too short
#endif
}

}  // namespace

void ThreadTeam::Open(Function call, const void* body) {
  std::exception_ptr failure;
  open_ = true;
  ticket_.store(Ticket(LoopOf(ticket_.load()) + 1, kNone));
#pragma omp parallel num_threads(size_)
  if (const int thread = omp_get_thread_num(); thread > 0) {
    Serve(static_cast<size_t>(thread));
  } else {
    try {
      call(body);
    } catch (...) {  // may not leave the region
      failure = std::current_exception();
    }
    ticket_.store(Ticket(LoopOf(ticket_.load()), kOver));
    ticket_.notify_all();
  }
  open_ = false;
  if (failure) std::rethrow_exception(failure);
}

// The ticket says kNone while the loop's data change: a helper that sees new data beside an old
// ticket can't take an item with it (what it reads with `acquire` was written after that kNone).
void ThreadTeam::Loop(size_t count, ItemFunction call, const void* body) {
  const uint32_t loop = LoopOf(ticket_.load(std::memory_order_relaxed)) + 1;
  ticket_.store(Ticket(loop, kNone));
  call_.store(call, std::memory_order_release);
  body_.store(body, std::memory_order_release);
  count_.store(static_cast<uint32_t>(count), std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(Ticket(loop, 0));
  ticket_.notify_all();  // no system call unless somebody sleeps

  const size_t by_others = count - TakeItems(0);
  for (int spins = 0; done_.load(std::memory_order_acquire) < by_others; ++spins) {
    if (spins < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

// Returns how many items it has done.
size_t ThreadTeam::TakeItems(size_t thread) {
  size_t n = 0;
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const ItemFunction call = call_.load(std::memory_order_acquire);
    const void* body = body_.load(std::memory_order_acquire);
    if (NextOf(ticket) >= count_.load(std::memory_order_acquire)) return n;  // kNone, kOver too
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    call(body, NextOf(ticket), thread);
    ++n;
    if (thread > 0) done_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadTeam::Serve(size_t thread) {
  for (int spins = 0;;) {
    const uint64_t ticket = ticket_.load(std::memory_order_acquire);
    if (NextOf(ticket) == kOver) return;
    if (TakeItems(thread) > 0) {
      spins = 0;
    } else if (++spins < kSpins) {
      Pause();
    } else {
      ticket_.wait(ticket);
      spins = 0;
    }
  }
}

}  // namespace spark
