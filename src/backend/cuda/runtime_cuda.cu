// The runtime of runtime.h by CUDA and cuBLAS.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include "backend/cuda/runtime.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

void Check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  throw Error("CUDA: " + std::string(what) + ": " + cudaGetErrorString(status));
}

void Check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error("cuBLAS: " + std::string(what) + ": " + cublasGetStatusString(status));
}

cudaStream_t Of(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }
cudaEvent_t Of(Event event) { return reinterpret_cast<cudaEvent_t>(event); }
cublasHandle_t Of(Gemm gemm) { return reinterpret_cast<cublasHandle_t>(gemm); }

// fmt's headers are not for nvcc. Rounded up.
std::string Mebibytes(size_t bytes) {
  return std::to_string((bytes + (size_t{1} << 20) - 1) >> 20) + " MiB";
}

}  // namespace

int DeviceCount(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  if (why != nullptr) {
    *why = status == cudaSuccess ? "the driver finds none" : cudaGetErrorString(status);
  }
  static_cast<void>(cudaGetLastError());  // it has been reported
  return 0;
}

DeviceInfo Describe(int device) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, device), "properties of a device");
  return {properties.name, properties.major, properties.minor, properties.multiProcessorCount,
          properties.totalGlobalMem};
}

void UseDevice(int device) { Check(cudaSetDevice(device), "choosing a device"); }

MemoryInfo DeviceMemoryInfo() {
  MemoryInfo info;
  Check(cudaMemGetInfo(&info.free, &info.total), "asking for free memory");
  return info;
}

void* DeviceMalloc(size_t bytes, std::string_view what) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());  // not of the next launch
    throw Error("out of GPU memory: " + std::string(what) + " needs " + Mebibytes(bytes) + ", " +
                Mebibytes(DeviceMemoryInfo().free) + " are free");
  }
  Check(status, "allocating memory");
  return memory;
}

// A failure to free follows one that has been thrown.
void DeviceFree(void* memory) noexcept { static_cast<void>(cudaFree(memory)); }

void* PinnedMalloc(size_t bytes) {
  void* memory = nullptr;
  Check(cudaMallocHost(&memory, bytes), "allocating pinned memory");
  return memory;
}
void PinnedFree(void* memory) noexcept { static_cast<void>(cudaFreeHost(memory)); }

Stream CreateStream() {
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return reinterpret_cast<Stream>(stream);
}
void DestroyStream(Stream stream) noexcept { static_cast<void>(cudaStreamDestroy(Of(stream))); }
void Synchronize(Stream stream) { Check(cudaStreamSynchronize(Of(stream)), "computing"); }

Event CreateEvent() {
  cudaEvent_t event = nullptr;
  Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  return reinterpret_cast<Event>(event);
}
void DestroyEvent(Event event) noexcept { static_cast<void>(cudaEventDestroy(Of(event))); }
void Record(Event event, Stream stream) {
  Check(cudaEventRecord(Of(event), Of(stream)), "recording an event");
}
void Wait(Event event) { Check(cudaEventSynchronize(Of(event)), "computing"); }

void CopyToDevice(void* device, const void* host, size_t bytes, Stream stream) {
  Check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, Of(stream)),
        "copying to the device");
}
void CopyToHost(void* host, const void* device, size_t bytes, Stream stream) {
  Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, Of(stream)),
        "copying from the device");
}
void CopyOnDevice(void* to, const void* from, size_t bytes, Stream stream) {
  Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, Of(stream)),
        "copying on the device");
}
void CopyRowsToDevice(void* device, size_t device_pitch, const void* host, size_t host_pitch,
                      size_t row_bytes, size_t rows, Stream stream) {
  Check(cudaMemcpy2DAsync(device, device_pitch, host, host_pitch, row_bytes, rows,
                          cudaMemcpyHostToDevice, Of(stream)),
        "copying rows to the device");
}

void CheckLaunch() { Check(cudaGetLastError(), "starting a kernel"); }

Gemm CreateGemm(Stream stream) {
  cublasHandle_t handle = nullptr;
  Check(cublasCreate(&handle), "starting");
  Check(cublasSetStream(handle, Of(stream)), "choosing a stream");
  return reinterpret_cast<Gemm>(handle);
}
void DestroyGemm(Gemm gemm) noexcept { static_cast<void>(cublasDestroy(Of(gemm))); }

// cuBLAS thinks in columns: our rows of w are the columns of its first matrix, transposed.
void GemmF16(Gemm gemm, const uint16_t* x, size_t n, const uint16_t* w, size_t rows, size_t cols,
             float* out, size_t out_stride) {
  const float one = 1, zero = 0;
  const auto c = static_cast<int>(cols);
  Check(
      cublasGemmEx(Of(gemm), CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(rows), static_cast<int>(n),
                   c, &one, w, CUDA_R_16F, c, x, CUDA_R_16F, c, &zero, out, CUDA_R_32F,
                   static_cast<int>(out_stride), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "multiplying");
}

}  // namespace spark::cuda
