// The bytes of a file, read-only, for as long as the object lives. The only place that knows how an
// operating system maps files.
#ifndef SPARK_BASE_MAPPED_FILE_H_
#define SPARK_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace spark {

enum class MapMode : uint8_t {
  kMmap,  // pages come from the page cache when they are touched
  kRead,  // `--no-mmap`: one copy in memory, in huge pages where there are any; safe when the file
          // may change while it is open
};

// Move-only. bytes() stays at the same address when the object is moved.
class MappedFile {
 public:
  // Throws Error, naming the path and the system's reason, for anything that is not a readable,
  // non-empty regular file.
  static MappedFile Open(const std::string& path, MapMode mode = MapMode::kMmap);

  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        mode_(other.mode_) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mode_, other.mode_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, std::byte* data, size_t size, MapMode mode)
      : path_(std::move(path)), data_(data), size_(size), mode_(mode) {}

  std::string path_;
  std::byte* data_ = nullptr;  // mmap()ed, or new[]ed
  size_t size_ = 0;
  MapMode mode_ = MapMode::kMmap;
};

}  // namespace spark

#endif  // SPARK_BASE_MAPPED_FILE_H_
