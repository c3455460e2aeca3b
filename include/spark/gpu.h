// Which GPUs there are for the backend "cuda".
#ifndef SPARK_GPU_H_
#define SPARK_GPU_H_

#include <string>
#include <vector>

namespace spark {

// A line each, number first: what SessionOptions::device counts. Throws Error where there is none,
// and in a build without CUDA.
std::vector<std::string> GpuNames();

}  // namespace spark

#endif  // SPARK_GPU_H_
