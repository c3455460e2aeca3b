// The one place that knows whether this build has a CUDA backend.
#include "backend/backend.h"
#include "spark/error.h"
#include "spark/gpu.h"
#ifdef SPARK_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace spark {

#ifdef SPARK_CUDA

std::unique_ptr<Backend> MakeCudaBackend(const CudaOptions& options) {
  return cuda::MakeBackend(options);
}

std::vector<std::string> GpuNames() { return cuda::DeviceNames(); }

#else

namespace {

constexpr const char* kNoCuda = "this build has no CUDA backend; configure it with -DSPARK_CUDA=ON";

}  // namespace

std::unique_ptr<Backend> MakeCudaBackend(const CudaOptions&) { throw Error(kNoCuda); }

std::vector<std::string> GpuNames() { throw Error(kNoCuda); }

#endif

}  // namespace spark
