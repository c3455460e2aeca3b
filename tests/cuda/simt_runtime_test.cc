// The runtime without a GPU: asynchronous, strict about whose memory is whose, with a heap that
// ends.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <vector>

#include "backend/cuda/memory.h"
#include "backend/cuda/runtime.h"
#include "base/half.h"
#include "simt/device_heap.h"
#include "simt/simt.h"
#include "spark/error.h"

namespace spark::cuda {
namespace simt_runtime_test {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

__global__ void AddOne(float* x) { x[threadIdx.x] += 1; }
__global__ void MissBarrier() {
  if (threadIdx.x == 0) __syncthreads();
}

TEST_CASE("Nothing runs before something waits", "[simt]") {
  const OwnedStream stream;
  const DeviceMemory memory(32 * sizeof(float), "numbers");
  auto* pinned = static_cast<float*>(PinnedMalloc(32 * sizeof(float)));
  std::fill_n(pinned, 32, 1.0f);
  CopyToDevice(memory.As<float>(), pinned, 32 * sizeof(float), stream.get());
  std::fill_n(pinned, 32, 5.0f);  // too early: the copy has not run
  Launch(AddOne, 1, 32, 0, stream.get(), memory.As<float>());
  CopyToHost(pinned, memory.As<float>(), 32 * sizeof(float), stream.get());
  CHECK(pinned[0] == 5);
  const Event event = CreateEvent();
  Record(event, stream.get());
  Launch(AddOne, 1, 32, 0, stream.get(), memory.As<float>());
  Wait(event);
  CHECK(pinned[31] == 6);
  CHECK(memory.As<float>()[31] == 6);  // the launch behind the event is still to come
  Synchronize(stream.get());
  CHECK(memory.As<float>()[31] == 7);
  std::vector<float> pageable(32);
  Launch(AddOne, 1, 32, 0, stream.get(), memory.As<float>());
  CopyToHost(pageable.data(), memory.As<float>(), 32 * sizeof(float), stream.get());
  CHECK(pageable[0] == 8);
  DestroyEvent(event);
  PinnedFree(pinned);
}

TEST_CASE("A kernel's fault comes out of the wait", "[simt]") {
  const OwnedStream stream;
  Launch(MissBarrier, 1, 32, 0, stream.get());
  CHECK_THROWS_MATCHES(Synchronize(stream.get()), simt::Fault,
                       MessageMatches(ContainsSubstring("divergent barrier")));
  CHECK_NOTHROW(Synchronize(stream.get()));
  CHECK_THROWS_AS(Launch(MissBarrier, 1, 4096, 0, stream.get()), simt::Fault);
}

TEST_CASE("Host memory is no device memory", "[simt]") {
  const OwnedStream stream;
  float on_host[32] = {};
  const DeviceMemory memory(sizeof(on_host), "numbers");
  CHECK_THROWS_AS(Launch(AddOne, 1, 32, 0, stream.get(), on_host), simt::Fault);
  CHECK_THROWS_AS(CopyToDevice(on_host, on_host, 4, stream.get()), simt::Fault);
  CHECK_THROWS_AS(CopyToHost(memory.As<float>(), memory.As<float>(), 4, stream.get()), simt::Fault);
  CHECK_THROWS_MATCHES(CopyToDevice(memory.As<float>() + 1, on_host, sizeof(on_host), stream.get()),
                       simt::Fault, MessageMatches(ContainsSubstring("beyond")));
}

TEST_CASE("Device memory is counted, ends, and holds NaN", "[simt]") {
  simt::Heap& heap = simt::Heap::Device();
  const size_t before = heap.bytes();
  {
    const DeviceMemory memory(1000 * sizeof(float), "numbers");
    CHECK(heap.bytes() == before + 4000);
    CHECK(std::isnan(memory.As<float>()[999]));
    CHECK(std::isnan(ToFloat(static_cast<F16>(memory.As<uint16_t>()[0]))));
  }
  CHECK(heap.bytes() == before);
  const simt::WithDeviceMemory small(before + (size_t{2} << 20));
  const DeviceMemory fits(size_t{3} << 19, "what fits");
  CHECK_THROWS_MATCHES(DeviceMemory(size_t{1} << 20, "the cache"), Error,
                       MessageMatches(ContainsSubstring(
                           "out of GPU memory: the cache needs 1.0 MiB, 0.5 MiB are free")));
}

TEST_CASE("GemmF16 multiplies rows by rows", "[simt]") {
  const size_t n = 3, rows = 5, cols = 7, stride = 6;
  std::vector<uint16_t> x(n * cols), w(rows * cols);
  const auto half = [](size_t i) {
    return static_cast<uint16_t>(ToF16(static_cast<float>(i % 11) - 5));
  };
  for (size_t i = 0; i < x.size(); ++i) x[i] = half(3 * i);
  for (size_t i = 0; i < w.size(); ++i) w[i] = half(5 * i + 1);
  const OwnedStream stream;
  const DeviceMemory dx(x.size() * 2, "x"), dw(w.size() * 2, "w"), out(n * stride * 4, "out");
  CopyToDevice(dx.As<void>(), x.data(), x.size() * 2, stream.get());
  CopyToDevice(dw.As<void>(), w.data(), w.size() * 2, stream.get());
  const Gemm gemm = CreateGemm(stream.get());
  GemmF16(gemm, dx.As<uint16_t>(), n, dw.As<uint16_t>(), rows, cols, out.As<float>(), stride);
  std::vector<float> result(n * stride);
  CopyToHost(result.data(), out.As<void>(), result.size() * 4, stream.get());
  DestroyGemm(gemm);
  for (size_t i = 0; i < n; ++i) {
    for (size_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (size_t c = 0; c < cols; ++c) {
        sum +=
            ToFloat(static_cast<F16>(x[i * cols + c])) * ToFloat(static_cast<F16>(w[r * cols + c]));
      }
      CHECK(result[i * stride + r] == sum);
    }
  }
}

}  // namespace simt_runtime_test
}  // namespace spark::cuda
