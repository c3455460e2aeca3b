// GPU memory of a machine without a GPU: host memory that the rest of the host does not touch.
#ifndef SPARK_TESTS_SUPPORT_SIMT_DEVICE_HEAP_H_
#define SPARK_TESTS_SUPPORT_SIMT_DEVICE_HEAP_H_

#include <cstddef>
#include <map>

namespace spark::simt {

// Blocks of one kind of memory, filled with NaN in every floating-point type when they are handed
// out. Each is an allocation of its own, so that the address sanitizer sees where it ends.
class Heap {
 public:
  static Heap& Device();
  static Heap& Pinned();

  void* Allocate(size_t bytes);      // null if there is no room
  void Free(void* memory) noexcept;  // of this heap, or null; anything else ends the program
  // Whether all of these bytes lie in one block.
  bool Contains(const void* memory, size_t bytes) const;
  bool Touches(const void* memory) const { return Contains(memory, 1); }

  size_t bytes() const { return bytes_; }
  size_t most_bytes() const { return most_bytes_; }  // at once, since Reset
  size_t n_blocks() const { return blocks_.size(); }
  size_t capacity() const { return capacity_; }
  void set_capacity(size_t bytes) { capacity_ = bytes; }
  void ResetMostBytes() { most_bytes_ = bytes_; }

  static constexpr size_t kCapacity = size_t{8} << 30;

 private:
  std::map<const std::byte*, size_t> blocks_;  // bytes by address
  size_t bytes_ = 0, most_bytes_ = 0, capacity_ = kCapacity;
};

// Tests: a GPU with this much memory while it lives.
class WithDeviceMemory {
 public:
  explicit WithDeviceMemory(size_t bytes) { Heap::Device().set_capacity(bytes); }
  ~WithDeviceMemory() { Heap::Device().set_capacity(Heap::kCapacity); }
  WithDeviceMemory(const WithDeviceMemory&) = delete;
};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_DEVICE_HEAP_H_
