// The runtime of backend/cuda/runtime.h without a GPU.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>
#include <set>
#include <utility>
#include <vector>

#include "backend/cuda/runtime.h"
#include "base/half.h"
#include "simt/device_heap.h"
#include "simt/machine.h"
#include "simt/streams.h"
#include "spark/error.h"

namespace spark::cuda {

struct StreamTag {
  std::deque<std::function<void()>> work;
  uint64_t n_done = 0;
};
struct EventTag {
  Stream stream = nullptr;
  uint64_t after = 0;  // pieces of work of the stream
};
struct GemmTag {
  Stream stream;
};

namespace {

int device_count = 1;
std::set<Stream> streams;
std::exception_ptr failure;  // of a call that must not throw; the next one that may throws it

void RunUntil(Stream stream, uint64_t n_done) {
  while (!stream->work.empty() && stream->n_done < n_done) {
    const std::function<void()> work = std::move(stream->work.front());
    stream->work.pop_front();
    ++stream->n_done;
    try {
      work();
    } catch (...) {
      stream->work.clear();  // a GPU does nothing more after a fault
      throw;
    }
  }
}

void RunAll() {
  for (Stream stream : streams) RunUntil(stream, UINT64_MAX);
}

template <class Work>
void Quietly(Work work) noexcept {
  try {
    work();
  } catch (...) {
    if (failure == nullptr) failure = std::current_exception();
  }
}

void ThrowFailure() {
  if (failure != nullptr) std::rethrow_exception(std::exchange(failure, nullptr));
}

// Host memory that is not pinned is read and written at once, in the stream's order.
void Copy(void* to, const void* from, size_t bytes, const void* host, Stream stream) {
  ThrowFailure();
  if (bytes == 0) return;
  const bool pinned = host == nullptr || simt::Heap::Pinned().Contains(host, bytes);
  if (host != nullptr && simt::Heap::Device().Touches(host)) {
    throw simt::Fault("a copy's host side is device memory");
  }
  simt::Enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  if (!pinned && stream != nullptr) RunUntil(stream, UINT64_MAX);
}

}  // namespace

int DeviceCount(std::string* why) {
  if (device_count == 0 && why != nullptr) *why = "the tests hide it";
  return device_count;
}

DeviceInfo Describe(int device) {
  UseDevice(device);
  return {"a host that runs CUDA kernels", 8, 0, 4, simt::Heap::Device().capacity()};
}

void UseDevice(int device) {
  if (device < 0 || device >= device_count) throw Error("CUDA: choosing a device: no such device");
}

MemoryInfo DeviceMemoryInfo() {
  const simt::Heap& heap = simt::Heap::Device();
  return {heap.capacity() - std::min(heap.bytes(), heap.capacity()), heap.capacity()};
}

void* DeviceMalloc(size_t bytes, std::string_view what) {
  ThrowFailure();
  if (bytes == 0) return nullptr;
  if (void* memory = simt::Heap::Device().Allocate(bytes)) return memory;
  throw Error(fmt::format("out of GPU memory: {} needs {:.1f} MiB, {:.1f} MiB are free", what,
                          static_cast<double>(bytes) / (1 << 20),
                          static_cast<double>(DeviceMemoryInfo().free) / (1 << 20)));
}

void DeviceFree(void* memory) noexcept {
  if (memory == nullptr) return;
  Quietly(RunAll);  // cudaFree() waits
  simt::Heap::Device().Free(memory);
}

void* PinnedMalloc(size_t bytes) { return simt::Heap::Pinned().Allocate(bytes); }
void PinnedFree(void* memory) noexcept {
  if (memory == nullptr) return;
  Quietly(RunAll);
  simt::Heap::Pinned().Free(memory);
}

Stream CreateStream() {
  auto* stream = new StreamTag;
  streams.insert(stream);
  return stream;
}

void DestroyStream(Stream stream) noexcept {
  if (stream == nullptr) return;
  Quietly([=] { RunUntil(stream, UINT64_MAX); });
  streams.erase(stream);
  delete stream;
}

void Synchronize(Stream stream) {
  if (stream == nullptr) {
    RunAll();
  } else {
    RunUntil(stream, UINT64_MAX);
  }
  ThrowFailure();
}

Event CreateEvent() { return new EventTag; }
void DestroyEvent(Event event) noexcept { delete event; }
void Record(Event event, Stream stream) {
  event->stream = stream;
  event->after = stream == nullptr ? 0 : stream->n_done + stream->work.size();
}
void Wait(Event event) {
  if (event->stream != nullptr) RunUntil(event->stream, event->after);
  ThrowFailure();
}

void CopyToDevice(void* device, const void* host, size_t bytes, Stream stream) {
  if (bytes > 0) simt::CheckDevice(device, bytes, "the target of a copy to the device");
  Copy(device, host, bytes, host, stream);
}
void CopyToHost(void* host, const void* device, size_t bytes, Stream stream) {
  if (bytes > 0) simt::CheckDevice(device, bytes, "the source of a copy to the host");
  Copy(host, device, bytes, host, stream);
}
void CopyOnDevice(void* to, const void* from, size_t bytes, Stream stream) {
  if (bytes > 0) simt::CheckDevice(to, bytes, "the target of a copy on the device");
  if (bytes > 0) simt::CheckDevice(from, bytes, "the source of a copy on the device");
  Copy(to, from, bytes, nullptr, stream);
}
void CopyRowsToDevice(void* device, size_t device_pitch, const void* host, size_t host_pitch,
                      size_t row_bytes, size_t rows, Stream stream) {
  if (row_bytes > device_pitch || row_bytes > host_pitch) {
    throw simt::Fault("a copy of rows that are longer than their pitch");
  }
  for (size_t r = 0; r < rows; ++r) {
    CopyToDevice(static_cast<std::byte*>(device) + r * device_pitch,
                 static_cast<const std::byte*>(host) + r * host_pitch, row_bytes, stream);
  }
}

void CheckLaunch() { ThrowFailure(); }

Gemm CreateGemm(Stream stream) { return new GemmTag{stream}; }
void DestroyGemm(Gemm gemm) noexcept { delete gemm; }

void GemmF16(Gemm gemm, const uint16_t* x, size_t n, const uint16_t* w, size_t rows, size_t cols,
             float* out, size_t out_stride) {
  simt::CheckDevice(x, n * cols * sizeof(*x), "x of a matrix product");
  simt::CheckDevice(w, rows * cols * sizeof(*w), "w of a matrix product");
  simt::CheckDevice(out, ((n - 1) * out_stride + rows) * sizeof(*out), "out of a matrix product");
  simt::Enqueue(gemm->stream, [=] {
    std::vector<float> columns(cols * rows);  // of w, so that the inner loop is over rows
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) {
        columns[c * rows + r] = ToFloat(static_cast<F16>(w[r * cols + c]));
      }
    }
    for (size_t i = 0; i < n; ++i) {
      float* sums = out + i * out_stride;
      std::fill_n(sums, rows, 0.0f);
      for (size_t c = 0; c < cols; ++c) {
        const float factor = ToFloat(static_cast<F16>(x[i * cols + c]));
        for (size_t r = 0; r < rows; ++r) sums[r] += factor * columns[c * rows + r];
      }
    }
  });
}

}  // namespace spark::cuda

namespace spark::simt {

void Enqueue(cuda::Stream stream, std::function<void()> work) {
  if (stream == nullptr) {
    cuda::RunAll();
    work();
  } else if (!cuda::streams.contains(stream)) {
    throw Fault("a stream that was destroyed, or never made");
  } else {
    stream->work.push_back(std::move(work));
  }
}

void CheckDevice(const void* memory, size_t bytes, const char* what) {
  if (Heap::Device().Contains(memory, bytes)) return;
  throw Fault(std::string(what) + (Heap::Device().Touches(memory)
                                       ? " reaches beyond its device memory"
                                       : " is no device memory"));
}

WithDeviceCount::WithDeviceCount(int count) { cuda::device_count = count; }
WithDeviceCount::~WithDeviceCount() { cuda::device_count = 1; }

}  // namespace spark::simt
