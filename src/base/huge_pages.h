// Memory for large buffers that a decoded token reads from end to end. A processor finds 2 MB of it
// by one entry of its table of pages, instead of by 512: attention at depth is up to a fifth
// faster.
#ifndef SPARK_BASE_HUGE_PAGES_H_
#define SPARK_BASE_HUGE_PAGES_H_

#include <cstddef>
#include <map>
#include <mutex>

namespace spark {

// Pieces of regions that the system is asked to back by huge pages (Linux: madvise(2)). The stores
// of a cache are smaller than such a page, or not much larger, one for each head of each layer;
// here they share them, where pages of its own would cost each store a megabyte. Thread-safe.
class HugePages {
 public:
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kPage = size_t{2} << 20;
  static constexpr size_t kRegion = size_t{64} << 20;  // of addresses; a larger piece has its own
  static constexpr size_t kLeast = size_t{64} << 10;   // bytes for which one should come here

  HugePages() = default;
  ~HugePages();
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

  // Sanitizers would see no borders between pieces.
#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool kUsed = false;
#elif defined(__has_feature)
  static constexpr bool kUsed = !__has_feature(address_sanitizer);
#else
  static constexpr bool kUsed = true;
#endif

  // That of the process.
  static HugePages& Global();

  // `bytes` at a multiple of kAlignment; what they hold is undefined. Null where the system has no
  // huge pages, or no memory.
  std::byte* Allocate(size_t bytes);

  // Whole pages of what is free go back to the system at once.
  void Free(std::byte* p);

  // Addresses taken from the system, and bytes of pieces handed out.
  size_t ReservedBytes() const;
  size_t UsedBytes() const;

 private:
  using Pieces = std::map<std::byte*, size_t>;  // begin, size

  bool AddRegion(size_t bytes);
  std::byte* Take(Pieces::iterator piece, size_t bytes);
  Pieces::iterator AddFree(std::byte* begin, size_t size);

  mutable std::mutex mutex_;
  Pieces regions_, free_, used_;
};

}  // namespace spark

#endif  // SPARK_BASE_HUGE_PAGES_H_
