#include "simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARK_SIMT_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SPARK_SIMT_ASAN
#endif
#ifdef SPARK_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__) && !defined(SPARK_SIMT_UCONTEXT)
extern "C" void SparkSimtSwitch(void** save, void* load);
// System V: rbx, rbp, r12-r15 and the stack survive a call.
asm(R"(
  .pushsection .text
  .p2align 4
  .globl SparkSimtSwitch
  .type SparkSimtSwitch, @function
SparkSimtSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size SparkSimtSwitch, . - SparkSimtSwitch
  .popsection
)");
#endif

namespace spark::simt {
namespace {

constexpr size_t kGuardBytes = 4096;

// The one that runs, and the one it was switched to from: a new fiber has no frame to find them in.
Fiber* running = nullptr;
Fiber* previous = nullptr;

void BeforeSwitch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                  [[maybe_unused]] size_t bytes) {
#ifdef SPARK_SIMT_ASAN
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#endif
}

void AfterSwitch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
                 [[maybe_unused]] size_t* bytes) {
#ifdef SPARK_SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#endif
}

}  // namespace

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  stack_ = static_cast<std::byte*>(memory) + kGuardBytes;
  bottom_ = stack_;
  bytes_ = kStackBytes;
  Restart();
}

Fiber::~Fiber() {
  if (stack_ == nullptr) return;
#ifdef SPARK_SIMT_ASAN
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes);
}

void Fiber::Restart() {
#ifdef SPARK_SIMT_ASAN
  __asan_unpoison_memory_region(stack_, kStackBytes);  // frames that were left behind
#endif
  fake_stack_ = nullptr;
#if defined(__x86_64__) && !defined(SPARK_SIMT_UCONTEXT)
  // Six registers, Begin() as the address to return to, and the one that Begin() would return to.
  auto* top = reinterpret_cast<uintptr_t*>(stack_ + kStackBytes) - 2;
  top[1] = 0;
  top[0] = reinterpret_cast<uintptr_t>(&Begin);
  for (int i = 1; i <= 6; ++i) top[-i] = 0;
  top_ = top - 6;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Begin, 0);
#endif
}

void Fiber::Begin() {
  AfterSwitch(nullptr, &previous->bottom_, &previous->bytes_);
  running->entry_();
  __builtin_trap();
}

void Fiber::Switch(Fiber& from, Fiber& to) {
  previous = &from;
  running = &to;
  BeforeSwitch(&from.fake_stack_, to.bottom_, to.bytes_);
#if defined(__x86_64__) && !defined(SPARK_SIMT_UCONTEXT)
  SparkSimtSwitch(&from.top_, to.top_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  AfterSwitch(from.fake_stack_, &previous->bottom_, &previous->bytes_);
}

}  // namespace spark::simt
