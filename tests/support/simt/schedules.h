// The orders in which tests run the threads of a kernel.
#ifndef SPARK_TESTS_SUPPORT_SIMT_SCHEDULES_H_
#define SPARK_TESTS_SUPPORT_SIMT_SCHEDULES_H_

#include <vector>

#include "simt/machine.h"

namespace spark::simt {

inline const std::vector<Schedule> kSchedules = {{Order::kAscending, 1},
                                                 {Order::kDescending, 1},
                                                 {Order::kRandom, 1},
                                                 {Order::kRandom, 2},
                                                 {Order::kRandom, 3}};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_SCHEDULES_H_
