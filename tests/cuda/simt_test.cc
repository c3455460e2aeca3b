// The machine that runs kernels on the host: every primitive does what CUDA says it does.
#include "simt/simt.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <numeric>
#include <vector>

#include "simt/schedules.h"

namespace spark::simt {
namespace simt_test {

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

// What the lanes of a full warp get from each collective; [32] each.
struct WarpResults {
  int shuffle[32], segment[32], exchanged[32], up[32], down[32];
  unsigned ballot[32], match[32];
  int all[32], any[32], sum[32], least[32], most[32];
  double wide[32];
};

__global__ void UseWarp(WarpResults* out) {
  const auto lane = static_cast<int>(threadIdx.x % 32);
  WarpResults& r = out[threadIdx.x / 32];
  r.shuffle[lane] = __shfl_sync(kFullMask, 100 + lane, 31 - lane);
  r.segment[lane] = __shfl_sync(kFullMask, 100 + lane, 3, 8);
  r.exchanged[lane] = __shfl_xor_sync(kFullMask, 100 + lane, 5);
  r.up[lane] = __shfl_up_sync(kFullMask, 100 + lane, 3);
  r.down[lane] = __shfl_down_sync(kFullMask, 100 + lane, 3, 16);
  r.ballot[lane] = __ballot_sync(kFullMask, lane % 3 == 0);
  r.match[lane] = __match_any_sync(kFullMask, lane / 10);
  r.all[lane] = __all_sync(kFullMask, lane < 32);
  r.any[lane] = __any_sync(kFullMask, lane > 31);
  r.sum[lane] = __reduce_add_sync(kFullMask, lane - 20);
  r.least[lane] = __reduce_min_sync(kFullMask, lane - 20);
  r.most[lane] = __reduce_max_sync(kFullMask, lane - 20);
  r.wide[lane] = __shfl_sync(kFullMask, lane + 0.25, 7);
}

TEST_CASE("Collectives of a whole warp", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<WarpResults> results(3);
  RunKernel(UseWarp, 1, 96, 0, results.data());
  for (const WarpResults& r : results) {
    for (int lane = 0; lane < 32; ++lane) {
      INFO("lane " << lane);
      CHECK(r.shuffle[lane] == 131 - lane);
      CHECK(r.segment[lane] == 100 + lane / 8 * 8 + 3);
      CHECK(r.exchanged[lane] == 100 + (lane ^ 5));
      CHECK(r.up[lane] == 100 + (lane < 3 ? lane : lane - 3));
      CHECK(r.down[lane] == 100 + (lane % 16 > 12 ? lane : lane + 3));
      CHECK(r.ballot[lane] == 0x49249249u);
      CHECK(r.match[lane] == (lane < 10   ? 0x3FFu
                              : lane < 20 ? 0xFFC00u
                              : lane < 30 ? 0x3FF00000u
                                          : 0xC0000000u));
      CHECK(r.all[lane] == 1);
      CHECK(r.any[lane] == 0);
      CHECK(r.sum[lane] == 31 * 16 - 32 * 20);
      CHECK(r.least[lane] == -20);
      CHECK(r.most[lane] == 11);
      CHECK(r.wide[lane] == 7.25);
    }
  }
}

// Halves of a warp go different ways, one of them more often than the other.
__global__ void UseHalves(int* out) {
  const auto lane = static_cast<int>(threadIdx.x);
  const bool low = lane < 16;
  const unsigned mask = low ? 0xFFFFu : 0xFFFF0000u;
  int x = lane;
  for (int i = 0; i < (low ? 4 : 1); ++i) x = __shfl_xor_sync(mask, x, 1) + 1;
  __syncwarp();
  out[lane] = x + __reduce_add_sync(mask, 1);
}

TEST_CASE("Parts of a warp have collectives of their own", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<int> out(32, 0);
  RunKernel(UseHalves, 1, 32, 0, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    CHECK(out[static_cast<size_t>(lane)] == (lane < 16 ? lane + 4 : (lane ^ 1) + 1) + 16);
  }
}

__global__ void UseAtomics(unsigned* counts, int* global, float* sum) {
  SPARK_SHARED(int, most, 1);
  SPARK_DYNAMIC_SHARED(unsigned, bins);
  if (threadIdx.x < 4) bins[threadIdx.x] = 0;
  if (threadIdx.x == 0) most[0] = -1;
  __syncthreads();
  atomicAdd(&bins[threadIdx.x % 4], 1u);
  atomicMax(&most[0], static_cast<int>(threadIdx.x));
  const int before = __syncthreads_count(threadIdx.x % 2 == 0);
  if (threadIdx.x < 4) atomicAdd(counts + threadIdx.x, bins[threadIdx.x]);
  if (threadIdx.x == 0) atomicAdd(global, static_cast<int>(most[0]) + before);
  atomicAdd(sum, 0.5f);
}

TEST_CASE("Atomics on shared and global memory", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<unsigned> counts(4, 0);
  int global = 0;
  float sum = 0;
  RunKernel(UseAtomics, 3, 64, 4 * sizeof(unsigned), counts.data(), &global, &sum);
  CHECK(counts == std::vector<unsigned>(4, 48));
  CHECK(global == 3 * (63 + 32));
  CHECK(sum == 96);
}

// A lane's shared memory is read by its warp behind __syncwarp(): no race. So is memory that is
// written again behind a barrier, and bytes that are read as words.
__global__ void ExchangeInWarp(unsigned* out) {
  SPARK_DYNAMIC_SHARED(unsigned char, bytes);
  const unsigned lane = threadIdx.x % 32, first = threadIdx.x / 32 * 32;
  const SharedPtr<unsigned> words = SharedCast<unsigned>(bytes);
  for (unsigned round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 4; ++i) {
      bytes[4 * threadIdx.x + i] = static_cast<unsigned char>(lane + round);
    }
    __syncwarp();
    out[threadIdx.x] = words[first + (lane + 1) % 32];
    __syncwarp();
  }
  __syncthreads();
  words[blockDim.x - 1 - threadIdx.x] = out[threadIdx.x];
}

TEST_CASE("Warps exchange by shared memory", "[simt]") {
  const WithSchedule schedule(GENERATE(from_range(kSchedules)));
  std::vector<unsigned> out(128);
  RunKernel(ExchangeInWarp, 1, 128, 512, out.data());
  for (unsigned t = 0; t < 128; ++t) CHECK(out[t] == ((t + 1) % 32 + 2) * 0x01010101u);
}

TEST_CASE("Bits and bytes", "[simt]") {
  CHECK(__popc(0xF0F0u) == 8);
  CHECK(__popcll(~0ull) == 64);
  CHECK(__clz(1) == 31);
  CHECK(__ffs(0) == 0);
  CHECK(__ffs(8) == 4);
  CHECK(__brev(1u) == 0x80000000u);
  CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7150u) == 0x77115500u);
  CHECK(__byte_perm(0x00000080u, 0, 0x0008u) == 0x808080FFu);
  CHECK(__funnelshift_r(0x11111111u, 0x22222222u, 16) == 0x22221111u);
  CHECK(__dp4a(static_cast<int>(0xFF02FE01u), 0x01010101, 5) == 5);
  CHECK(__dp4a(0xFF02FE01u, 0x01010101u, 5u) == 255 + 2 + 254 + 1 + 5);
  CHECK(__uint_as_float(0x3F800000u) == 1.0f);
}

}  // namespace simt_test
}  // namespace spark::simt
