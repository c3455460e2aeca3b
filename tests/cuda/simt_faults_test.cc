// Tests of the tests: kernels with the mistakes that are made in kernels, each beside its correct
// twin. The machine finds every mistake, whatever the order of the threads.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <vector>

#include "simt/schedules.h"
#include "simt/simt.h"

namespace spark::simt {
namespace simt_faults_test {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

// Runs f() under every schedule: each time it throws a Fault that says `what`.
template <class F>
void CheckFault(const std::string& what, F f) {
  for (const Schedule& order : kSchedules) {
    const WithSchedule schedule(order);
    CHECK_THROWS_MATCHES(f(), Fault, MessageMatches(ContainsSubstring(what)));
  }
}

template <class F>
void CheckFine(F f) {
  for (const Schedule& order : kSchedules) {
    const WithSchedule schedule(order);
    CHECK_NOTHROW(f());
  }
}

enum class Mistake { kNone, kBarrier, kTail, kStale, kIndex };

// Sums of 64 numbers a block; the last block may have fewer.
template <Mistake mistake>
__global__ void Sums(const int* in, int n, int* out) {
  SPARK_SHARED(int, part, 64);
  const auto i = static_cast<int>(blockIdx.x * 64 + threadIdx.x);
  if (mistake == Mistake::kTail) {
    if (i < n) part[threadIdx.x] = in[i];  // and the others?
  } else if (mistake == Mistake::kStale) {
    if (blockIdx.x == 0) part[threadIdx.x] = in[i];  // later blocks add up what it left
  } else {
    part[threadIdx.x + (mistake == Mistake::kIndex ? 1 : 0)] = i < n ? in[i] : 0;
  }
  __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    if (mistake != Mistake::kBarrier) __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

TEST_CASE("Broken sums are caught: barrier, tail, stale memory, index", "[simt]") {
  std::vector<int> in(150, 1);
  std::vector<int> out(3);
  const auto run = [&](auto kernel) { RunKernel(kernel, 3, 64, 0, in.data(), 150, out.data()); };
  CheckFine([&] {
    run(Sums<Mistake::kNone>);
    CHECK(out == std::vector<int>{64, 64, 22});
  });
  CheckFault("with no barrier between", [&] { run(Sums<Mistake::kBarrier>); });
  CheckFault("reads what this block has not written", [&] { run(Sums<Mistake::kTail>); });
  CheckFault("reads what this block has not written", [&] { run(Sums<Mistake::kStale>); });
  CheckFault("part[64] is out of range: it has 64 elements", [&] { run(Sums<Mistake::kIndex>); });
  CheckFine([&] { run(Sums<Mistake::kNone>); });  // the machine is whole again
}

TEST_CASE("A fault says where", "[simt]") {
  std::vector<int> in(64, 1);
  int out = 0;
  CHECK_THROWS_MATCHES(RunKernel(Sums<Mistake::kIndex>, 1, 64, 0, in.data(), 64, &out), Fault,
                       MessageMatches(ContainsSubstring("simt_faults_test.cc:") &&
                                      ContainsSubstring("(thread 63 of block 0,0,0)")));
}

// Warp 0 writes for warp 1, and the other way round, twice.
template <bool before, bool behind>
__global__ void Swap(int* out) {
  SPARK_SHARED(int, x, 64);
  for (int round = 0; round < 2; ++round) {
    x[threadIdx.x] = round;
    if (before) __syncthreads();
    out[threadIdx.x] = x[threadIdx.x ^ 32];
    if (behind) __syncthreads();
  }
}

TEST_CASE("Races across warps: read too early, written too early", "[simt]") {
  std::vector<int> out(64);
  CheckFine([&] { RunKernel(Swap<true, true>, 1, 64, 0, out.data()); });
  CHECK_THROWS_AS(RunKernel(Swap<false, true>, 1, 64, 0, out.data()), Fault);
  CheckFault("with no barrier between",
             [&] { RunKernel(Swap<true, false>, 1, 64, 0, out.data()); });
}

// A vote lets lanes meet, but orders no memory: that takes __syncwarp().
template <bool sync>
__global__ void ExchangeInWarp(int* out) {
  SPARK_SHARED(int, x, 32);
  x[threadIdx.x] = 1;
  if (sync) {
    __syncwarp();
  } else {
    __ballot_sync(kFullMask, 1);
  }
  out[threadIdx.x] = x[31 - threadIdx.x];
}

TEST_CASE("Races in a warp", "[simt]") {
  std::vector<int> out(32);
  CheckFine([&] { RunKernel(ExchangeInWarp<true>, 1, 32, 0, out.data()); });
  CheckFault("x[", [&] { RunKernel(ExchangeInWarp<false>, 1, 32, 0, out.data()); });
}

__global__ void AtomicBesidePlain(int* out) {
  SPARK_SHARED(int, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  atomicAdd(&count[0], 1);
  out[threadIdx.x] = count[0];
}

TEST_CASE("A plain read beside atomics is a race", "[simt]") {
  std::vector<int> out(64);
  CheckFault("count[0]", [&] { RunKernel(AtomicBesidePlain, 1, 64, 0, out.data()); });
}

__global__ void HalfAtBarrier() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void TwoBarriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void BarrierAndVote() {
  if (threadIdx.x == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

TEST_CASE("Divergent barriers", "[simt]") {
  CheckFault("divergent barrier", [] { RunKernel(HalfAtBarrier, 1, 64, 0); });
  CheckFault("divergent barrier", [] { RunKernel(TwoBarriers, 1, 64, 0); });
  CheckFault("divergent barrier: 1 of 32 threads wait",
             [] { RunKernel(BarrierAndVote, 1, 32, 0); });
}

__global__ void LaneReturned() {
  if (threadIdx.x == 7) return;
  __syncwarp();
}
__global__ void NotInMask() { __syncwarp(0x0000FFFEu); }
__global__ void MasksDiffer() { __syncwarp(threadIdx.x < 16 ? 0xFFFFFFFFu : 0x7FFFFFFFu); }
__global__ void CallsDiffer() {
  if (threadIdx.x < 16) {
    __ballot_sync(kFullMask, 1);
  } else {
    __syncwarp();
  }
}
__global__ void ReadsOutsideMask() { __shfl_sync(0xFFFFu, 1, 20); }

TEST_CASE("Collectives that lanes disagree on", "[simt]") {
  CheckFault("returned", [] { RunKernel(LaneReturned, 1, 32, 0); });
  CheckFault("names lanes 0xffff0000, which returned or never were",
             [] { RunKernel(CallsDiffer, 1, 16, 0); });
  CheckFault("which is not in it", [] { RunKernel(NotInMask, 1, 32, 0); });
  CheckFault("with mask", [] { RunKernel(MasksDiffer, 1, 32, 0); });
  CheckFault("meets lanes that wait in", [] { RunKernel(CallsDiffer, 1, 32, 0); });
  CheckFault("reads lane 20, which is not in mask 0x0000ffff",
             [] { RunKernel(ReadsOutsideMask, 1, 16, 0); });
}

__global__ void TooMuchShared() {
  SPARK_SHARED(char, big, 49153);
  big[0] = 1;
}
__global__ void Misaligned(int* out) {
  SPARK_DYNAMIC_SHARED(unsigned char, bytes);
  for (unsigned i = 0; i < 8; ++i) bytes[i] = 1;
  out[0] = SharedCast<int>(bytes + 2)[0];
}
__global__ void FinerThanDeclared(int* out) {
  SPARK_SHARED(int, words, 4);
  words[0] = 1;
  out[0] = SharedCast<unsigned char>(words)[0];
}
__global__ void Nothing() {}

TEST_CASE("Limits of blocks and shared memory", "[simt]") {
  int out = 0;
  CheckFault("has no room", [] { RunKernel(TooMuchShared, 1, 1, 0); });
  CheckFault("not aligned to 4", [&] { RunKernel(Misaligned, 1, 1, 8, &out); });
  CheckFault("out of range", [&] { RunKernel(Misaligned, 1, 1, 7, &out); });
  CheckFault("read as some of 1", [&] { RunKernel(FinerThanDeclared, 1, 1, 0, &out); });
  CheckFault("a block of 1025,1,1 threads", [] { RunKernel(Nothing, 1, 1025, 0); });
  CheckFault("a grid of 0,1,1 blocks", [] { RunKernel(Nothing, 0, 32, 0); });
  CheckFault("dynamic shared memory", [] { RunKernel(Nothing, 1, 32, 200000); });
}

}  // namespace simt_faults_test
}  // namespace spark::simt
