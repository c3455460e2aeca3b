// A buffer of floats in the memory that a backend computes in.
#ifndef SPARK_BACKEND_ACTIVATIONS_H_
#define SPARK_BACKEND_ACTIVATIONS_H_

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace spark {

// The backend must outlive it. Move-only.
class Activations {
 public:
  explicit Activations(Backend& backend) : backend_(&backend) {}
  Activations(Activations&& other) noexcept { *this = std::move(other); }
  Activations& operator=(Activations&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(copy_, other.copy_);
    return *this;
  }
  ~Activations() { Free(); }

  float* data() { return data_; }
  const float* data() const { return data_; }
  size_t size() const { return size_; }

  // Contents are lost when there is no room, and new ones are unset.
  void Resize(size_t size) {
    if (size > capacity_) {
      Free();
      data_ = backend_->AllocateFloats(size);
      capacity_ = size;
    }
    size_ = size;
  }

  void Assign(std::span<const float> values) {
    Resize(values.size());
    backend_->CopyFromHost(values.data(), values.size(), data_);
  }

  // Elements first to first + n where the host can read them, after all operations so far. Valid
  // until the next call or change.
  const float* OnHost(size_t first, size_t n) {
    if (backend_->on_host()) return data_ + first;
    copy_.resize(n);
    backend_->CopyToHost(data_ + first, n, copy_.data());
    return copy_.data();
  }
  const float* OnHost() { return OnHost(0, size_); }

 private:
  void Free() {
    if (data_ != nullptr) backend_->FreeFloats(data_);
    data_ = nullptr;
    capacity_ = 0;
  }

  Backend* backend_ = nullptr;
  float* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<float> copy_;  // for the host, if it can't read data_
};

}  // namespace spark

#endif  // SPARK_BACKEND_ACTIVATIONS_H_
