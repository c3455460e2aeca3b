// Stacks of their own on one thread of the operating system, and switches between them.
//
// A switch saves what a function call preserves and nothing else: a few nanoseconds on x86-64,
// ucontext (which asks the kernel about signals every time) elsewhere. The address sanitizer is
// told of every switch.
#ifndef SPARK_TESTS_SUPPORT_SIMT_FIBER_H_
#define SPARK_TESTS_SUPPORT_SIMT_FIBER_H_

#include <cstddef>

#if !defined(__x86_64__) || defined(SPARK_SIMT_UCONTEXT)
#include <ucontext.h>
#endif

namespace spark::simt {

class Fiber {
 public:
  Fiber() = default;  // the thread's own stack: what is switched from first, and back to
  explicit Fiber(void (*entry)());  // a stack of kStackBytes; entry() must never return
  ~Fiber();
  Fiber(const Fiber&) = delete;

  static constexpr size_t kStackBytes = size_t{256} << 10;

  // Leaves `from`, which is running, for `to`; returns when something switches to `from` again.
  static void Switch(Fiber& from, Fiber& to);

  void Restart();  // entry() anew at the next switch to it, whatever it was doing

 private:
  static void Begin();

  void (*entry_)() = nullptr;
  std::byte* stack_ = nullptr;  // with a page below it that cannot be touched
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // the address sanitizer's
#if defined(__x86_64__) && !defined(SPARK_SIMT_UCONTEXT)
  void* top_ = nullptr;  // stack pointer at the last switch away
#else
  ucontext_t context_{};
#endif
};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_FIBER_H_
