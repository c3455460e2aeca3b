// The CUDA runtime as this backend uses it: memory, copies, streams, events, one matrix product.
// Every call is checked and throws Error with what was asked for. runtime_cuda.cu implements it
// with CUDA and cuBLAS; the tests implement it on the host (tests/support/simt/).
#ifndef SPARK_BACKEND_CUDA_RUNTIME_H_
#define SPARK_BACKEND_CUDA_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace spark::cuda {

// Handles of the runtime; null is none.
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using Gemm = struct GemmTag*;

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t memory_bytes = 0;
};

// 0 where there is no GPU or no driver; `why` then says so in one line, if it is not null.
int DeviceCount(std::string* why = nullptr);
DeviceInfo Describe(int device);
// Of the calling thread, for all that follows.
void UseDevice(int device);

struct MemoryInfo {
  size_t free = 0, total = 0;
};
MemoryInfo DeviceMemoryInfo();

// Throws Error "out of GPU memory: WHAT needs 1.2 GiB, 0.3 GiB are free". 0 bytes: null.
void* DeviceMalloc(size_t bytes, std::string_view what);
void DeviceFree(void* memory) noexcept;
// Host memory that copies run from and to while the host goes on.
void* PinnedMalloc(size_t bytes);
void PinnedFree(void* memory) noexcept;

Stream CreateStream();
void DestroyStream(Stream stream) noexcept;
void Synchronize(Stream stream);  // the host waits for all that was put in
Event CreateEvent();
void DestroyEvent(Event event) noexcept;
void Record(Event event, Stream stream);
void Wait(Event event);  // the host waits; returns at once for one that was never recorded

// In order of the stream; the host goes on if its side is pinned.
void CopyToDevice(void* device, const void* host, size_t bytes, Stream stream);
void CopyToHost(void* host, const void* device, size_t bytes, Stream stream);
void CopyOnDevice(void* to, const void* from, size_t bytes, Stream stream);
// `rows` rows of `row_bytes` bytes, `pitch` bytes from one to the next.
void CopyRowsToDevice(void* device, size_t device_pitch, const void* host, size_t host_pitch,
                      size_t row_bytes, size_t rows, Stream stream);

// Throws Error if the last launch was refused.
void CheckLaunch();

Gemm CreateGemm(Stream stream);
void DestroyGemm(Gemm gemm) noexcept;
// out[i, r] = Σ_c x[i, c] w[r, c], f32 sums of f16 products. x: [n, cols], w: [rows, cols], f16
// bits; out: n rows of `rows` floats, `out_stride` floats from one to the next.
void GemmF16(Gemm gemm, const uint16_t* x, size_t n, const uint16_t* w, size_t rows, size_t cols,
             float* out, size_t out_stride);

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_RUNTIME_H_
