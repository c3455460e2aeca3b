// The machine that runs kernels on the host: every primitive does what CUDA says it does.
#include "simt/simt.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <numeric>
#include <vector>

namespace spark::simt {
namespace {

// All three orders, and random with several seeds.
const std::vector<Schedule> kSchedules = {{Order::kAscending, 1},
                                          {Order::kDescending, 1},
                                          {Order::kRandom, 1},
                                          {Order::kRandom, 2},
                                          {Order::kRandom, 3}};

__global__ void WriteNumber(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned n = blockDim.x * blockDim.y * blockDim.z;
  out[block * n + thread] += static_cast<int>(block * n + thread);
}

TEST_CASE("Every thread of every block runs once", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<int> out(4 * 3 * 2 * 5 * 6 * 2, 0), expected(out.size());
  std::iota(expected.begin(), expected.end(), 0);
  RunKernel(WriteNumber, dim3(4, 3, 2), dim3(5, 6, 2), 0, out.data());
  CHECK(out == expected);
}

// Sum of a block's numbers: tree in shared memory.
__global__ void BlockSum(const int* in, int* out) {
  SPARK_SHARED(int, part, 256);
  part[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

TEST_CASE("Shared memory and barriers add up a block", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<int> in(8 * 256);
  std::iota(in.begin(), in.end(), 0);
  std::vector<int> out(8, 0);
  RunKernel(BlockSum, 8, 256, 0, in.data(), out.data());
  for (int b = 0; b < 8; ++b) CHECK(out[static_cast<size_t>(b)] == 256 * 256 * b + 255 * 128);
}

}  // namespace
}  // namespace spark::simt
