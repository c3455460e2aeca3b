// Starts kernels on the machine.
#ifndef SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_
#define SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_

#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "backend/cuda/runtime.h"
#include "simt/machine.h"
#include "simt/streams.h"

namespace spark::simt {

// Runs now: the blocks are done when it returns, and a Fault comes out of it.
template <class... Parameters, class... Arguments>
void RunKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared_bytes,
               Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, {static_cast<Parameters>(arguments)...}};
  Machine::Get().Run(
      grid, block, dynamic_shared_bytes,
      [](void* argument) {
        const Call& c = *static_cast<const Call*>(argument);
        std::apply(c.kernel, c.arguments);
      },
      &call);
}

// Kernels see device memory only; pointers inside of structs are not looked at.
template <class Parameter>
void CheckArgument([[maybe_unused]] const Parameter& argument) {
  if constexpr (std::is_pointer_v<Parameter> &&
                !std::is_function_v<std::remove_pointer_t<Parameter>>) {
    if (argument != nullptr) CheckDevice(argument, 1, "an argument of a kernel");
  }
}

// How often kernels were put into a stream since the program began, by address: a `static` one has
// another in every source file.
inline std::map<void (*)(), size_t>& LaunchCounts() {
  static std::map<void (*)(), size_t> counts;
  return counts;
}
template <class... Parameters>
size_t Launches(void (*kernel)(Parameters...)) {
  return LaunchCounts()[reinterpret_cast<void (*)()>(kernel)];
}

// Tests: a schedule while it lives.
class WithSchedule {
 public:
  explicit WithSchedule(const Schedule& schedule) : before_(Machine::Get().schedule()) {
    Machine::Get().set_schedule(schedule);
  }
  ~WithSchedule() { Machine::Get().set_schedule(before_); }
  WithSchedule(const WithSchedule&) = delete;

 private:
  Schedule before_;
};

}  // namespace spark::simt

namespace spark::cuda {

// As the one for CUDA in backend/cuda/device.h: a launch that cannot be is refused here, what goes
// wrong in the kernel comes out of the next wait.
template <class... Parameters, class... Arguments>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            Stream stream, Arguments&&... arguments) {
  simt::Machine::CheckShape(grid, block, dynamic_shared_bytes);
  std::tuple<Parameters...> converted(static_cast<Parameters>(arguments)...);
  std::apply([](const auto&... argument) { (simt::CheckArgument(argument), ...); }, converted);
  ++simt::LaunchCounts()[reinterpret_cast<void (*)()>(kernel)];
  simt::Enqueue(stream, [=] {
    std::apply(
        [&](const auto&... argument) {
          simt::RunKernel(kernel, grid, block, dynamic_shared_bytes, argument...);
        },
        converted);
  });
}

}  // namespace spark::cuda

#endif  // SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_
