// Streams that really are asynchronous: what is put in runs when something waits for it, and not
// before, so that a host that forgets to wait reads old bytes.
#ifndef SPARK_TESTS_SUPPORT_SIMT_STREAMS_H_
#define SPARK_TESTS_SUPPORT_SIMT_STREAMS_H_

#include <functional>

#include "backend/cuda/runtime.h"

namespace spark::simt {

// Behind what the stream holds; at once for the null stream, after all that every stream holds.
void Enqueue(cuda::Stream stream, std::function<void()> work);

// Throws a Fault unless all these bytes are device memory.
void CheckDevice(const void* memory, size_t bytes, const char* what);

// Tests: how many GPUs there are while it lives.
class WithDeviceCount {
 public:
  explicit WithDeviceCount(int count);
  ~WithDeviceCount();
  WithDeviceCount(const WithDeviceCount&) = delete;
};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_STREAMS_H_
