#include <algorithm>
#include <cstring>

#include "backend/cuda/memory.h"

namespace spark::cuda {

Staging::Staging(Stream stream) : stream_(stream) {
  for (Buffer& buffer : buffers_) {
    buffer.data = static_cast<std::byte*>(PinnedMalloc(kBytes));
    buffer.sent = CreateEvent();
  }
}

Staging::~Staging() {
  for (const Buffer& buffer : buffers_) {
    DestroyEvent(buffer.sent);
    PinnedFree(buffer.data);
  }
}

std::byte* Staging::Begin() {
  Wait(buffers_[current_].sent);
  return buffers_[current_].data;
}

void Staging::Sent() {
  Record(buffers_[current_].sent, stream_);
  current_ = 1 - current_;
}

void Staging::Send(size_t bytes, void* device) {
  CopyToDevice(device, buffers_[current_].data, bytes, stream_);
  Sent();
}

void Staging::SendRows(size_t row_bytes, size_t rows, void* device, size_t pitch) {
  CopyRowsToDevice(device, pitch, buffers_[current_].data, row_bytes, row_bytes, rows, stream_);
  Sent();
}

void Staging::Upload(const void* host, size_t bytes, void* device) {
  for (size_t at = 0; at < bytes; at += kBytes) {
    const size_t n = std::min(kBytes, bytes - at);
    std::memcpy(Begin(), static_cast<const std::byte*>(host) + at, n);
    Send(n, static_cast<std::byte*>(device) + at);
  }
}

void Staging::Download(const void* device, size_t bytes, void* host) {
  for (size_t at = 0; at < bytes; at += kBytes) {
    const size_t n = std::min(kBytes, bytes - at);
    std::byte* staged = Begin();
    CopyToHost(staged, static_cast<const std::byte*>(device) + at, n, stream_);
    Synchronize(stream_);
    std::memcpy(static_cast<std::byte*>(host) + at, staged, n);
  }
}

}  // namespace spark::cuda
