#include "tests/support/counting_allocator.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<size_t> live_bytes{0};

// The size is kept in front of the memory, in a piece as long as the alignment.
void* Allocate(size_t size, size_t alignment) {
  const size_t rounded = (size + alignment - 1) / alignment * alignment;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded + alignment));
  if (memory == nullptr) throw std::bad_alloc();
  std::memcpy(memory, &size, sizeof(size));
  live_bytes += size;
  return memory + alignment;
}

void Free(void* pointer, size_t alignment) noexcept {
  if (pointer == nullptr) return;
  std::byte* memory = static_cast<std::byte*>(pointer) - alignment;
  size_t size = 0;
  std::memcpy(&size, memory, sizeof(size));
  live_bytes -= size;
  std::free(memory);
}

}  // namespace

void* operator new[](size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void operator delete[](void* pointer, std::align_val_t alignment) noexcept {
  Free(pointer, static_cast<size_t>(alignment));
}
void operator delete[](void* pointer, size_t, std::align_val_t alignment) noexcept {
  Free(pointer, static_cast<size_t>(alignment));
}

namespace spark::testing {

size_t LiveAlignedBytes() { return live_bytes; }

}  // namespace spark::testing
