// The backend that computes on a GPU. Activations are in GPU memory, operations go into one stream
// and return at once; whoever copies activations to the host waits.
#ifndef SPARK_BACKEND_CUDA_CUDA_BACKEND_H_
#define SPARK_BACKEND_CUDA_CUDA_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace spark::cuda {

// Throws Error where there is no such device.
std::unique_ptr<Backend> MakeBackend(const CudaOptions& options);

// A line each. Throws Error where there is none.
std::vector<std::string> DeviceNames();

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_CUDA_BACKEND_H_
