// Owners of what the CUDA runtime gives out, and the way of host bytes to the device.
#ifndef SPARK_BACKEND_CUDA_MEMORY_H_
#define SPARK_BACKEND_CUDA_MEMORY_H_

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "backend/cuda/runtime.h"

namespace spark::cuda {

// GPU memory. Move-only.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  // `what`: named when there is not enough.
  DeviceMemory(size_t bytes, std::string_view what)
      : data_(DeviceMalloc(bytes, what)), bytes_(bytes) {}
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceMemory() { DeviceFree(data_); }

  template <class T>
  T* As() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

  // Contents are lost when there is no room. What the stream still does with the old memory ends
  // before it is freed: DeviceFree() waits.
  void Resize(size_t bytes, std::string_view what) {
    if (bytes <= bytes_) return;
    *this = DeviceMemory();  // never both at once
    *this = DeviceMemory(bytes, what);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

class OwnedStream {
 public:
  OwnedStream() : stream_(CreateStream()) {}
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;
  ~OwnedStream() { DestroyStream(stream_); }
  Stream get() const { return stream_; }

 private:
  Stream stream_;
};

// Copies from and to the host's own memory, by two pinned buffers in turn: the caller's memory is
// free as soon as a call returns, and the copy runs while the host fills the other buffer.
class Staging {
 public:
  static constexpr size_t kBytes = size_t{4} << 20;  // of each buffer

  explicit Staging(Stream stream);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();

  void Upload(const void* host, size_t bytes, void* device);
  // Waits for what the stream did before, and for the bytes.
  void Download(const void* device, size_t bytes, void* host);
  // For many small pieces in one copy: fill kBytes at most of what Begin() returns, then Send().
  std::byte* Begin();
  void Send(size_t bytes, void* device);
  // The same, as rows that lie `pitch` bytes apart on the device.
  void SendRows(size_t row_bytes, size_t rows, void* device, size_t pitch);
  void Finish() { Synchronize(stream_); }

 private:
  struct Buffer {
    std::byte* data = nullptr;
    Event sent = nullptr;
  };
  void Sent();

  Stream stream_;
  std::array<Buffer, 2> buffers_;
  size_t current_ = 0;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_MEMORY_H_
