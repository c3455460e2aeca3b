#include "simt/device_heap.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace spark::simt {
namespace {

constexpr std::align_val_t kAlignment{256};  // cudaMalloc()'s

}  // namespace

Heap& Heap::Device() {
  static Heap heap;
  return heap;
}

Heap& Heap::Pinned() {
  static Heap heap;
  return heap;
}

void* Heap::Allocate(size_t bytes) {
  if (bytes > capacity_ - std::min(bytes_, capacity_)) return nullptr;
  auto* block = static_cast<std::byte*>(::operator new(bytes, kAlignment));
  std::memset(block, 0xFF, bytes);
  blocks_[block] = bytes;
  bytes_ += bytes;
  most_bytes_ = std::max(most_bytes_, bytes_);
  return block;
}

void Heap::Free(void* memory) noexcept {
  if (memory == nullptr) return;
  const auto block = blocks_.find(static_cast<std::byte*>(memory));
  if (block == blocks_.end()) {
    std::fprintf(stderr, "simt: %p is freed, but is no block of this heap\n", memory);
    std::abort();
  }
  bytes_ -= block->second;
  blocks_.erase(block);
  ::operator delete(memory, kAlignment);
}

bool Heap::Contains(const void* memory, size_t bytes) const {
  const auto* first = static_cast<const std::byte*>(memory);
  auto block = blocks_.upper_bound(first);
  if (block == blocks_.begin()) return false;
  --block;
  const auto offset = static_cast<size_t>(first - block->first);
  return offset <= block->second && bytes <= block->second - offset;
}

}  // namespace spark::simt
