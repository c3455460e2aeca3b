// Starts a kernel on the machine.
#ifndef SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_
#define SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_

#include <tuple>
#include <utility>

#include "simt/machine.h"

namespace spark::simt {

// All blocks have run when it returns. Arguments are copied, as CUDA does.
template <typename... Parameters, typename Stream, typename... Arguments>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_bytes,
            const Stream&, Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, {std::forward<Arguments>(arguments)...}};
  Machine::Get().Run(
      grid, block, dynamic_bytes,
      [](void* argument) {
        const Call& c = *static_cast<const Call*>(argument);
        std::apply(c.kernel, c.arguments);
      },
      &call);
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

#endif  // SPARK_TESTS_SUPPORT_SIMT_LAUNCH_H_
