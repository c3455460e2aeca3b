// The one place that knows whether this build has a CUDA backend.
#include "backend/backend.h"
#include "spark/error.h"
#ifdef SPARK_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace spark {

std::unique_ptr<Backend> MakeCudaBackend([[maybe_unused]] const CudaOptions& options) {
#ifdef SPARK_CUDA
  return cuda::MakeBackend(options);
#else
  throw Error("this build has no CUDA backend; configure it with -DSPARK_CUDA=ON");
#endif
}

}  // namespace spark
