#include <mutex>

#include "backend/cuda/device_weights.h"

namespace spark::cuda {

std::shared_ptr<DeviceWeights> DeviceWeights::Of(int device) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<DeviceWeights>> alive;
  const std::lock_guard lock(mutex);
  std::shared_ptr<DeviceWeights> weights = alive[device].lock();
  if (weights == nullptr) alive[device] = weights = std::make_shared<DeviceWeights>();
  return weights;
}

const uint8_t* DeviceWeights::Get(const void* host, size_t bytes, Staging& staging) {
  DeviceMemory& memory = uploaded_[{host, bytes}];
  if (memory.bytes() < bytes) {
    memory = DeviceMemory(bytes, "a weight matrix");
    staging.Upload(host, bytes, memory.As<void>());
    staging.Finish();  // the next to ask may be a backend with another stream
  }
  return memory.As<const uint8_t>();
}

}  // namespace spark::cuda
