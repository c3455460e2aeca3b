// Buffers for vector kernels: 64-byte aligned, with readable slack behind the last element.
#ifndef SPARK_BASE_ALIGNED_H_
#define SPARK_BASE_ALIGNED_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "base/huge_pages.h"

namespace spark {

inline constexpr size_t kAlignment = HugePages::kAlignment;

// Kernels may load whole vectors that start inside a buffer: this many bytes behind its end are
// allocated and zero. 64 = the widest vector; an expanding load of 32-bit lanes reads one at most.
inline constexpr size_t kReadSlack = 64;

// Memory at a multiple of kAlignment, with what frees it.
struct FreeAligned {
  bool huge_pages = false;
  void operator()(std::byte* p) const {
    if (huge_pages) {
      HugePages::Global().Free(p);
    } else {
      ::operator delete[](p, std::align_val_t{kAlignment});
    }
  }
};
using AlignedMemory = std::unique_ptr<std::byte[], FreeAligned>;

// In huge pages if it is large and there are any.
inline AlignedMemory AllocateAligned(size_t bytes) {
  if (bytes >= HugePages::kLeast && HugePages::kUsed) {
    if (std::byte* p = HugePages::Global().Allocate(bytes)) return {p, FreeAligned{true}};
  }
  void* p = ::operator new[](bytes, std::align_val_t{kAlignment});
  return {static_cast<std::byte*>(p), FreeAligned{false}};
}

// Owns `size()` bytes that grow on demand. Never shrinks by itself; a move leaves the source empty.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size) { Resize(size); }
  AlignedBytes(AlignedBytes&& other) noexcept { *this = std::move(other); }
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

  // What was asked of the allocator, slack included.
  size_t AllocatedBytes() const { return capacity_; }

  // A copy of `bytes`, instead of what was here.
  void Assign(std::span<const std::byte> bytes) {
    Resize(bytes.size());
    if (!bytes.empty()) std::memcpy(data(), bytes.data(), bytes.size());
  }
  std::span<const std::byte> bytes() const { return {data(), size()}; }

  // Keeps contents; new bytes are zero.
  void Resize(size_t size) {
    if (size + kReadSlack > capacity_) Reallocate(size + kReadSlack);
    if (size < size_) std::memset(data_.get() + size, 0, size_ - size);
    size_ = size;
  }

 private:
  void Reallocate(size_t capacity) {
    AlignedMemory grown = AllocateAligned(capacity);
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    std::memset(grown.get() + size_, 0, capacity - size_);
    data_ = std::move(grown);
    capacity_ = capacity;
  }

  AlignedMemory data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace spark

#endif  // SPARK_BASE_ALIGNED_H_
