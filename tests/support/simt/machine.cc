#include "simt/machine.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <string_view>
#include <utility>

namespace spark::simt {
namespace {

std::string Line(const Where& where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}

std::string Hex(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08x", mask);
  return text;
}

std::string Triple(unsigned x, unsigned y, unsigned z) {
  return std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z);
}

}  // namespace

Machine& Machine::Get() {
  static Machine machine;
  return machine;
}

void Machine::Raise(const std::string& what, const Where& where) const {
  std::string message;
  if (where.line() != 0) message = Line(where) + ": ";
  message += what;
  if (current_ != nullptr) {
    message += " (thread " + std::to_string(current_index()) + " of block " +
               Triple(blockIdx.x, blockIdx.y, blockIdx.z) + ")";
  }
  throw Fault(message);
}

Access Machine::CurrentAccess() const {
  const unsigned index = current_index();
  return {shared_.epoch(), index / kWarpSize, index % kWarpSize, &warps_[index / kWarpSize].clock};
}

unsigned Machine::LiveLanes() const { return warps_[current_index() / kWarpSize].live; }

// --- Launches

uint32_t Machine::Random() {  // xorshift
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return random_;
}

void Machine::CheckShape(dim3 grid, dim3 block, size_t dynamic_bytes) {
  const uint64_t n_threads = uint64_t{block.x} * block.y * block.z;
  if (n_threads == 0 || n_threads > kMostThreads || block.z > 64) {
    throw Fault("a block of " + Triple(block.x, block.y, block.z) + " threads");
  }
  const uint64_t n_blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (n_blocks == 0 || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535) {
    throw Fault("a grid of " + Triple(grid.x, grid.y, grid.z) + " blocks");
  }
  if (dynamic_bytes > SharedArena::kMostBytes) {
    throw Fault(std::to_string(dynamic_bytes) + " bytes of dynamic shared memory");
  }
}

void Machine::Run(dim3 grid, dim3 block, size_t dynamic_bytes, Body body, void* argument) {
  if (in_kernel()) throw Fault("a kernel launches a kernel");
  CheckShape(grid, block, dynamic_bytes);
  const unsigned n_threads = block.x * block.y * block.z;
  const uint64_t n_blocks = uint64_t{grid.x} * grid.y * grid.z;
  ++n_launches_;
  grid_ = grid;
  block_ = block;
  body_ = body;
  argument_ = argument;
  random_ = schedule_.seed * 2654435761u | 1u;
  blockDim = block;
  gridDim = grid;
  threads_.resize(n_threads);
  warps_.resize((n_threads + kWarpSize - 1) / kWarpSize);
  ready_.resize(kMostThreads);

  const uint64_t turn = schedule_.order == Order::kRandom ? Random() % n_blocks : 0;
  for (uint64_t i = 0; i < n_blocks; ++i) {
    const uint64_t at =
        schedule_.order == Order::kDescending ? n_blocks - 1 - i : (i + turn) % n_blocks;
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    shared_.BeginBlock(dynamic_bytes);
    RunBlock();
  }
}

void Machine::RunBlock() {
  const auto n = static_cast<unsigned>(threads_.size());
  for (unsigned t = 0; t < n; ++t) {
    threads_[t] = {nullptr, State::kNew,
                   dim3(t % block_.x, t / block_.x % block_.y, t / block_.x / block_.y)};
  }
  for (unsigned w = 0; w < warps_.size(); ++w) {
    const unsigned lanes = std::min(n - w * kWarpSize, kWarpSize);
    warps_[w].live = lanes == kWarpSize ? kFullMask : (1u << lanes) - 1;
    warps_[w].n_waiting = 0;
  }
  n_live_ = n;
  n_at_barrier_ = 0;
  n_ready_ = 0;
  for (unsigned i = 0; i < n; ++i) {
    MakeReady(schedule_.order == Order::kDescending ? n - 1 - i : i);
  }
  failure_ = nullptr;
  Resume(main_, PopReady());
  if (failure_ != nullptr) {
    AbandonThreads();
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void Machine::AbandonThreads() {
  idle_.clear();
  for (const auto& fiber : fibers_) {
    fiber->Restart();
    idle_.push_back(fiber.get());
  }
}

// --- Who runs

void Machine::MakeReady(unsigned index) {
  if (threads_[index].state != State::kNew) threads_[index].state = State::kReady;
  ready_[(ready_first_ + n_ready_++) % kMostThreads] = index;
}

Machine::Thread& Machine::PopReady() {
  if (schedule_.order == Order::kRandom) {
    std::swap(ready_[ready_first_], ready_[(ready_first_ + Random() % n_ready_) % kMostThreads]);
  }
  const unsigned index = ready_[ready_first_];
  ready_first_ = (ready_first_ + 1) % kMostThreads;
  --n_ready_;
  return threads_[index];
}

Fiber& Machine::IdleFiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&Worker));
    return *fibers_.back();
  }
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

// `from` is the stack that runs. Returns when something resumes what it holds.
void Machine::Resume(Fiber& from, Thread& next) {
  if (next.state == State::kNew) next.fiber = &IdleFiber();
  current_ = &next;
  ++n_switches_;
  Fiber::Switch(from, *next.fiber);
}

void Machine::EndBlock(Fiber& from) {
  current_ = nullptr;
  ++n_switches_;
  Fiber::Switch(from, main_);
}

void Machine::Worker() {
  Machine& machine = Get();
  for (;;) {
    Fiber& own = *machine.current_->fiber;
    machine.RunCurrent();
    if (machine.failure_ != nullptr || machine.n_live_ == 0) {
      machine.idle_.push_back(&own);
      machine.EndBlock(own);
    } else {
      Thread& next = machine.PopReady();
      if (next.state == State::kNew) {  // it can have this stack
        next.fiber = &own;
        machine.current_ = &next;
      } else {
        machine.idle_.push_back(&own);
        machine.Resume(own, next);
      }
    }
  }
}

void Machine::RunCurrent() {
  try {
    current_->state = State::kRunning;
    threadIdx = {current_->index.x, current_->index.y, current_->index.z};
    body_(argument_);
    OnExit();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void Machine::OnExit() {
  const unsigned index = current_index(), lane = index % kWarpSize;
  Warp& warp = warps_[index / kWarpSize];
  warp.live &= ~(1u << lane);
  current_->state = State::kExited;
  --n_live_;
  if (n_at_barrier_ > 0) {
    Raise("divergent barrier: a thread returns while others wait at it", barrier_where_);
  }
  for (unsigned i = 0; i < warp.n_waiting; ++i) {
    const Group& group = warp.groups[i];
    if ((group.mask >> lane & 1) != 0) {
      Raise(std::string(group.name) + " with mask " + Hex(group.mask) + " waits for lane " +
                std::to_string(lane) + ", which returned",
            group.where);
    }
  }
  if (n_live_ > 0 && n_ready_ == 0) Raise("no thread can go on: " + WhoWaits(), {});
}

void Machine::Wait(State state) {
  Thread& own = *current_;
  own.state = state;
  if (n_ready_ == 0) Raise("no thread can go on: " + WhoWaits(), {});
  Resume(*own.fiber, PopReady());
  own.state = State::kRunning;
  threadIdx = {own.index.x, own.index.y, own.index.z};
}

std::string Machine::WhoWaits() const {
  std::string text;
  if (n_at_barrier_ > 0) {
    text = "divergent barrier: " + std::to_string(n_at_barrier_) + " of " +
           std::to_string(threads_.size()) + " threads wait at " + Line(barrier_where_);
  }
  for (size_t w = 0; w < warps_.size(); ++w) {
    for (unsigned i = 0; i < warps_[w].n_waiting; ++i) {
      const Group& group = warps_[w].groups[i];
      text += std::string(text.empty() ? "" : "; ") + "lanes " + Hex(group.arrived) + " of warp " +
              std::to_string(w) + " wait at " + Line(group.where) + " in " + group.name +
              " with mask " + Hex(group.mask);
    }
  }
  return text;
}

// --- Barriers

Machine::BarrierResult Machine::Barrier(bool predicate, const Where& where) {
  if (n_at_barrier_ == 0) {
    barrier_where_ = where;
    barrier_count_ = 0;
  } else if (where.line() != barrier_where_.line() ||
             std::string_view(where.file_name()) != barrier_where_.file_name()) {
    Raise("divergent barrier: others wait at " + Line(barrier_where_), where);
  }
  if (n_live_ < threads_.size()) Raise("divergent barrier: some threads have returned", where);
  ++n_at_barrier_;
  barrier_count_ += predicate ? 1 : 0;
  if (n_at_barrier_ < n_live_) {
    Wait(State::kAtBarrier);
    return barrier_result_;
  }
  barrier_result_ = {barrier_count_, barrier_count_ == static_cast<int>(n_live_),
                     barrier_count_ > 0};
  n_at_barrier_ = 0;
  shared_.Barrier();
  const unsigned own = current_index();
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const unsigned t = Shuffled(i, static_cast<unsigned>(threads_.size()));
    if (t != own) MakeReady(t);
  }
  return barrier_result_;
}

// Random orders are made when a thread is taken from those that are ready.
unsigned Machine::Shuffled(unsigned i, unsigned n) {
  return schedule_.order == Order::kDescending ? n - 1 - i : i;
}

// --- Warps

// The group of the lanes that wait with this mask, or a new one. Throws when they never can meet.
Machine::Group& Machine::JoinGroup(Warp& warp, const WarpCall& call, const Where& where) {
  const unsigned lane = current_index() % kWarpSize;
  const auto who = [&] { return std::string(call.name) + " with mask " + Hex(call.mask); };
  if ((call.mask >> lane & 1) == 0) {
    Raise(who() + " is called by lane " + std::to_string(lane) + ", which is not in it", where);
  }
  if ((call.mask & ~warp.live) != 0) {
    Raise(who() + " names lanes " + Hex(call.mask & ~warp.live) + ", which returned or never were",
          where);
  }
  for (unsigned i = 0; i < warp.n_waiting; ++i) {
    Group& group = warp.groups[i];
    const bool same = group.mask == call.mask && group.op == call.op && group.fold == call.fold;
    if (same) return group;
    // Each waits for the other, in different calls.
    if ((group.mask >> lane & 1) != 0 && (group.arrived & call.mask) != 0) {
      Raise(who() + " meets lanes that wait in " + group.name + " with mask " + Hex(group.mask) +
                " at " + Line(group.where),
            where);
    }
  }
  Group& group = warp.groups[warp.n_waiting++];
  group = {call.mask, 0, call.op, call.fold, call.name, where};
  return group;
}

uint64_t Machine::Collective(const WarpCall& call, const Where& where) {
  const unsigned index = current_index(), lane = index % kWarpSize;
  Warp& warp = warps_[index / kWarpSize];
  Group& group = JoinGroup(warp, call, where);
  group.arrived |= 1u << lane;
  warp.value[lane] = call.value;
  warp.source[lane] = call.source;
  if (call.op == WarpOp::kShuffle && (call.mask >> call.source & 1) == 0) {
    Raise(std::string(call.name) + " reads lane " + std::to_string(call.source) +
              ", which is not in mask " + Hex(call.mask),
          where);
  }
  if (group.arrived != group.mask) {
    Wait(State::kInWarp);
    return warp.result[lane];
  }
  Complete(warp, group);
  group = warp.groups[--warp.n_waiting];
  ReleaseGroup(index / kWarpSize, call.mask);
  return warp.result[lane];
}

void Machine::Complete(Warp& warp, const Group& group) {
  uint64_t all = 0;
  bool first = true;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if ((group.mask >> lane & 1) == 0) continue;
    const uint64_t value = warp.value[lane];
    switch (group.op) {
      case WarpOp::kSync:
        break;
      case WarpOp::kShuffle:
        warp.result[lane] = warp.value[warp.source[lane]];
        break;
      case WarpOp::kBallot:
        all |= (value & 1) << lane;
        break;
      case WarpOp::kMatchAny: {
        uint64_t same = 0;
        for (unsigned other = 0; other < kWarpSize; ++other) {
          const bool equal = (group.mask >> other & 1) != 0 && warp.value[other] == value;
          same |= uint64_t{equal} << other;
        }
        warp.result[lane] = same;
        break;
      }
      case WarpOp::kReduce:
        all = first ? value : group.fold(all, value);
        first = false;
        break;
    }
  }
  if (group.op == WarpOp::kSync) warp.clock.Synchronise(group.mask);
  if (group.op != WarpOp::kBallot && group.op != WarpOp::kReduce) return;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if ((group.mask >> lane & 1) != 0) warp.result[lane] = all;
  }
}

void Machine::ReleaseGroup(unsigned warp_index, unsigned mask) {
  const unsigned own = current_index();
  for (unsigned i = 0; i < kWarpSize; ++i) {
    const unsigned lane = Shuffled(i, kWarpSize);
    const unsigned t = warp_index * kWarpSize + lane;
    if ((mask >> lane & 1) != 0 && t != own) MakeReady(t);
  }
}

}  // namespace spark::simt
