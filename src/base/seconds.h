// Times for reports, in seconds.
#ifndef SPARK_BASE_SECONDS_H_
#define SPARK_BASE_SECONDS_H_

#include <chrono>

namespace spark {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace spark

#endif  // SPARK_BASE_SECONDS_H_
