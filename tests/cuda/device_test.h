// What the tests of the CUDA backend share: a backend on a GPU, or on the host where the tests are
// built so, and arrays in its memory.
#ifndef SPARK_TESTS_CUDA_DEVICE_TEST_H_
#define SPARK_TESTS_CUDA_DEVICE_TEST_H_

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <span>
#include <vector>

#include "backend/activations.h"
#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace spark {

// Skips the test where there is no device.
inline std::unique_ptr<Backend> MakeDevice(bool compute_f32 = true) {
  std::string why;
  if (cuda::DeviceCount(&why) == 0) SKIP("no GPU: " << why);
  return MakeCudaBackend({.compute_f32 = compute_f32});
}

// Floats in a backend's memory.
class OnDevice {
 public:
  OnDevice(Backend& backend, std::span<const float> values) : memory_(backend) {
    memory_.Assign(values);
  }
  // `n` floats, which nobody has set.
  OnDevice(Backend& backend, size_t n) : memory_(backend) { memory_.Resize(n); }
  operator float*() { return memory_.data(); }
  std::vector<float> Read() {
    const float* host = memory_.OnHost();
    return {host, host + memory_.size()};
  }

 private:
  Activations memory_;
};

}  // namespace spark

#endif  // SPARK_TESTS_CUDA_DEVICE_TEST_H_
