// A GPU of one block: runs the threads of a kernel's blocks one after the other on this thread of
// the operating system, and checks what a GPU does not.
//
// A thread runs until it has to wait for others (a warp's collective, a barrier); only then it
// needs a stack of its own, so kernels without either cost a function call a thread. Who runs next
// is a matter of the schedule, which tests vary. Errors end the launch with a Fault that says what,
// where, and in which thread.
#ifndef SPARK_TESTS_SUPPORT_SIMT_MACHINE_H_
#define SPARK_TESTS_SUPPORT_SIMT_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "simt/fiber.h"
#include "simt/shared_arena.h"
#include "simt/vector_types.h"

namespace spark::simt {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xFFFFFFFFu;
inline constexpr unsigned kMostThreads = 1024;  // of a block

using Where = std::source_location;

// A kernel did what no kernel may do, or was launched as none can be.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// In which order blocks, and the threads that could run, take their turns.
enum class Order : uint8_t { kAscending, kDescending, kRandom };
struct Schedule {
  Order order = Order::kAscending;
  uint32_t seed = 1;  // kRandom
};

// What the lanes of a warp do together.
enum class WarpOp : uint8_t { kSync, kShuffle, kBallot, kMatchAny, kReduce };
using Fold = uint64_t (*)(uint64_t, uint64_t);  // kReduce: of the values' bits

// One thread's part in it.
struct WarpCall {
  WarpOp op;
  const char* name;  // of the function that the kernel calls
  unsigned mask;
  uint64_t value = 0;   // bits of what it gives
  unsigned source = 0;  // kShuffle: whose value it takes
  Fold fold = nullptr;
};

class Machine {
 public:
  static Machine& Get();

  void set_schedule(const Schedule& schedule) { schedule_ = schedule; }
  const Schedule& schedule() const { return schedule_; }
  uint64_t n_launches() const { return n_launches_; }
  uint64_t n_switches() const { return n_switches_; }  // between stacks

  // Throws a Fault if no GPU of compute capability 8.0 could run such blocks.
  static void CheckShape(dim3 grid, dim3 block, size_t dynamic_bytes);
  // Calls body(argument) once for every thread of every block. Throws Fault, and whatever `body`
  // throws; the other threads are then abandoned as they stand.
  using Body = void (*)(void*);
  void Run(dim3 grid, dim3 block, size_t dynamic_bytes, Body body, void* argument);

  // What device code calls. Collectives return the calling thread's result.
  uint64_t Collective(const WarpCall& call, const Where& where);
  struct BarrierResult {
    int count;  // of threads whose predicate was true
    bool all, any;
  };
  BarrierResult Barrier(bool predicate, const Where& where);
  unsigned LiveLanes() const;
  SharedArena& shared() { return shared_; }
  bool in_kernel() const { return current_ != nullptr; }
  Access CurrentAccess() const;  // by the running thread, now

  // Throws a Fault with the running thread's place in the grid.
  [[noreturn]] void Raise(const std::string& what, const Where& where) const;

 private:
  enum class State : uint8_t { kNew, kReady, kRunning, kInWarp, kAtBarrier, kExited };
  struct Thread {
    Fiber* fiber = nullptr;  // from its first wait on
    State state = State::kNew;
    dim3 index;
  };
  // Lanes that wait for each other.
  struct Group {
    unsigned mask = 0, arrived = 0;
    WarpOp op{};
    Fold fold = nullptr;
    const char* name = nullptr;
    Where where;
  };
  struct Warp {
    unsigned live = 0;       // lanes that have not returned
    unsigned n_waiting = 0;  // the first groups are those that lanes wait in
    Group groups[kWarpSize];
    uint64_t value[kWarpSize];
    unsigned source[kWarpSize];
    uint64_t result[kWarpSize];
    WarpClock clock;
  };

  static void Worker();  // what every fiber runs: threads, one after the other
  void RunBlock();
  void RunCurrent();
  void OnExit();
  void Wait(State state);          // the running thread until it is made ready
  void MakeReady(unsigned index);  // behind those that are
  Thread& PopReady();
  void Resume(Fiber& from, Thread& next);
  void EndBlock(Fiber& from);
  Fiber& IdleFiber();
  void AbandonThreads();
  void Complete(Warp& warp, const Group& group);
  void ReleaseGroup(unsigned warp_index, unsigned mask);
  Group& JoinGroup(Warp& warp, const WarpCall& call, const Where& where);
  std::string WhoWaits() const;
  unsigned Shuffled(unsigned i, unsigned n);  // item i of n in the schedule's order
  uint32_t Random();
  unsigned current_index() const { return static_cast<unsigned>(current_ - threads_.data()); }

  Schedule schedule_;
  uint32_t random_ = 1;
  uint64_t n_launches_ = 0, n_switches_ = 0;

  dim3 grid_, block_;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  std::vector<Thread> threads_;  // of the block that runs
  std::vector<Warp> warps_;
  Thread* current_ = nullptr;
  unsigned n_live_ = 0;

  std::vector<uint32_t> ready_;  // a ring of kMostThreads
  unsigned ready_first_ = 0, n_ready_ = 0;

  unsigned n_at_barrier_ = 0;
  int barrier_count_ = 0;
  BarrierResult barrier_result_{};
  Where barrier_where_;

  SharedArena shared_;
  Fiber main_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::exception_ptr failure_;
};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_MACHINE_H_
