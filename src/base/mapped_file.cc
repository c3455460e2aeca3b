// Linux, macOS and other POSIX systems; mapped_file_windows.cc for Windows.
#include "base/mapped_file.h"

#ifndef _WIN32
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <memory>
#include <system_error>

#include "spark/error.h"

namespace spark {
namespace {

[[noreturn]] void Fail(const std::string& path, const std::string& message) {
  throw Error(message, ErrorContext{.file = path});
}

[[noreturn]] void FailErrno(const std::string& path, const char* doing) {
  Fail(path, fmt::format("{}: {}", doing, std::generic_category().message(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

size_t CheckedSize(const std::string& path, int fd) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) FailErrno(path, "cannot look at file");
  if (S_ISDIR(info.st_mode)) Fail(path, "is a folder, not a file");
  if (!S_ISREG(info.st_mode)) Fail(path, "is not a regular file");
  if (info.st_size == 0) Fail(path, "file is empty");
  if (static_cast<uint64_t>(info.st_size) > std::numeric_limits<size_t>::max()) {
    Fail(path, "file does not fit this machine's address space");
  }
  return static_cast<size_t>(info.st_size);
}

struct Unmap {
  void operator()(std::byte* p) const { ::munmap(p, size); }
  size_t size;
};
using Mapping = std::unique_ptr<std::byte[], Unmap>;

// In huge pages where the system has them: a decoded token reads all of a model, and two cores of a
// Sapphire Rapids read 34 GB/s from those, 28 from pages of 4 KB.
Mapping Allocate(const std::string& path, size_t size) {
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) Fail(path, fmt::format("not enough memory to read {} bytes", size));
#ifdef MADV_HUGEPAGE
  ::madvise(data, size, MADV_HUGEPAGE);
#endif
  return {static_cast<std::byte*>(data), Unmap{size}};
}

Mapping ReadAll(const std::string& path, int fd, size_t size) {
  constexpr size_t kMaxRead = size_t{1} << 30;  // Linux reads at most 2^31 - 4096 bytes at once
  Mapping data = Allocate(path, size);
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::read(fd, data.get() + done, std::min(size - done, kMaxRead));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno(path, "cannot read");
    if (n == 0) Fail(path, "file became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  return data;
}

}  // namespace

MappedFile MappedFile::Open(const std::string& path, MapMode mode) {
  // O_NONBLOCK: opening a pipe without a writer would wait forever before fstat() can refuse it.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) FailErrno(path, "cannot open");
  const size_t size = CheckedSize(path, fd.get());
  if (mode == MapMode::kRead) {
    return MappedFile(path, ReadAll(path, fd.get(), size).release(), size, mode);
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) FailErrno(path, "cannot map into memory");
  return MappedFile(path, static_cast<std::byte*>(data), size, mode);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  ::munmap(data_, size_);
}

}  // namespace spark
#endif  // _WIN32
