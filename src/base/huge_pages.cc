#include "base/huge_pages.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>

#include "base/tiles.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace spark {
namespace {

size_t Sum(const std::map<std::byte*, size_t>& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                         [](size_t sum, const auto& piece) { return sum + piece.second; });
}

#if defined(__linux__) && defined(MADV_HUGEPAGE)

// At a multiple of a huge page. Null if there is none.
std::byte* Map(size_t bytes) {
  const size_t room = bytes + HugePages::kPage;
  void* mapped = ::mmap(nullptr, room, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before = -reinterpret_cast<uintptr_t>(begin) % HugePages::kPage;
  if (before > 0) ::munmap(begin, before);
  begin += before;
  ::munmap(begin + bytes, room - before - bytes);
  if (::madvise(begin, bytes, MADV_HUGEPAGE) == 0) return begin;
  ::munmap(begin, bytes);  // a kernel without them
  return nullptr;
}
void UnmapPages(std::byte* begin, size_t bytes) { ::munmap(begin, bytes); }
void GiveBack(std::byte* begin, size_t bytes) { ::madvise(begin, bytes, MADV_DONTNEED); }

#else

std::byte* Map(size_t) { return nullptr; }
void UnmapPages(std::byte*, size_t) {}
void GiveBack(std::byte*, size_t) {}

#endif

}  // namespace

HugePages& HugePages::Global() {
  static auto* pages = new HugePages;  // outlives all buffers
  return *pages;
}

HugePages::~HugePages() {
  for (const auto& [begin, size] : regions_) UnmapPages(begin, size);
}

std::byte* HugePages::Allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > SIZE_MAX / 2) return nullptr;
  bytes = RoundUp(std::max(bytes, size_t{1}), kAlignment);
  const auto fits = [&](const auto& piece) { return piece.second >= bytes; };
  auto piece = std::ranges::find_if(free_, fits);
  if (piece == free_.end()) {
    if (!AddRegion(bytes)) return nullptr;
    piece = std::ranges::find_if(free_, fits);
  }
  return Take(piece, bytes);
}

bool HugePages::AddRegion(size_t bytes) {
  const size_t size = RoundUp(std::max(bytes, kRegion), kPage);
  std::byte* begin = Map(size);
  if (begin == nullptr) return false;
  regions_.emplace(begin, size);
  free_.emplace(begin, size);
  return true;
}

std::byte* HugePages::Take(Pieces::iterator piece, size_t bytes) {
  const auto [begin, size] = *piece;
  free_.erase(piece);
  if (size > bytes) free_.emplace(begin + bytes, size - bytes);
  used_.emplace(begin, bytes);
  return begin;
}

// With its free neighbours in the same region.
HugePages::Pieces::iterator HugePages::AddFree(std::byte* begin, size_t size) {
  auto piece = free_.emplace(begin, size).first;
  const auto next = std::next(piece);
  if (next != free_.end() && next->first == begin + size && !regions_.contains(next->first)) {
    piece->second += next->second;
    free_.erase(next);
  }
  if (piece == free_.begin() || regions_.contains(begin)) return piece;
  const auto before = std::prev(piece);
  if (before->first + before->second != begin) return piece;
  before->second += piece->second;
  free_.erase(piece);
  return before;
}

void HugePages::Free(std::byte* p) {
  const std::lock_guard lock(mutex_);
  const auto used = used_.find(p);
  const size_t size = used->second;
  used_.erase(used);
  const auto piece = AddFree(p, size);
  const auto region = regions_.find(piece->first);
  if (region != regions_.end() && region->second == piece->second) {
    UnmapPages(region->first, region->second);
    regions_.erase(region);
    free_.erase(piece);
    return;
  }
  // Whole pages that became free now: the piece's, and what it shared with neighbours.
  const auto address = [](std::byte* at) { return reinterpret_cast<uintptr_t>(at); };
  const uintptr_t first = std::max(address(piece->first), address(p) / kPage * kPage);
  const uintptr_t end =
      std::min(address(piece->first) + piece->second, RoundUp(address(p) + size, kPage));
  const uintptr_t first_page = RoundUp(first, kPage), end_page = end / kPage * kPage;
  if (first_page < end_page) {
    GiveBack(piece->first + (first_page - address(piece->first)), end_page - first_page);
  }
}

size_t HugePages::ReservedBytes() const {
  const std::lock_guard lock(mutex_);
  return Sum(regions_);
}
size_t HugePages::UsedBytes() const {
  const std::lock_guard lock(mutex_);
  return Sum(used_);
}

}  // namespace spark
