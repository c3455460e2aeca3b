// What the operating system knows about this process.
#ifndef SPARK_BASE_PROCESS_H_
#define SPARK_BASE_PROCESS_H_

#include <cstdint>

namespace spark {

// The largest resident set so far, in bytes; 0 where the system does not tell.
uint64_t PeakResidentBytes();

}  // namespace spark

#endif  // SPARK_BASE_PROCESS_H_
