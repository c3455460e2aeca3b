// Weights in GPU memory, as they are in their file: quantised blocks, uploaded when they are first
// used.
#ifndef SPARK_BACKEND_CUDA_DEVICE_WEIGHTS_H_
#define SPARK_BACKEND_CUDA_DEVICE_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "backend/cuda/memory.h"

namespace spark::cuda {

class DeviceWeights {
 public:
  // Of a device. Backends that live at the same time share them, so sessions of one model hold its
  // weights once. Host weights are told apart by their address.
  static std::shared_ptr<DeviceWeights> Of(int device);

  const uint8_t* Get(const void* host, size_t bytes, Staging& staging);

 private:
  std::map<std::pair<const void*, size_t>, DeviceMemory> uploaded_;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_DEVICE_WEIGHTS_H_
