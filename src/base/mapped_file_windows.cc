// Written for Windows, compiled, never run.
#include "base/mapped_file.h"

#ifdef _WIN32
#include <fmt/format.h>
#include <windows.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "spark/error.h"

namespace spark {
namespace {

[[noreturn]] void Fail(const std::string& path, const std::string& message) {
  throw Error(message, ErrorContext{.file = path});
}

[[noreturn]] void FailLast(const std::string& path, const char* doing) {
  const int error = static_cast<int>(GetLastError());
  Fail(path, fmt::format("{}: {}", doing, std::system_category().message(error)));
}

class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (handle_ != nullptr && handle_ != INVALID_HANDLE_VALUE) CloseHandle(handle_);
  }
  HANDLE get() const { return handle_; }

 private:
  HANDLE handle_;
};

size_t CheckedSize(const std::string& path, HANDLE file) {
  if (GetFileType(file) != FILE_TYPE_DISK) Fail(path, "is not a regular file");
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file, &size)) FailLast(path, "cannot look at file");
  if (size.QuadPart == 0) Fail(path, "file is empty");
  if (static_cast<uint64_t>(size.QuadPart) > SIZE_MAX) {
    Fail(path, "file does not fit this machine's address space");
  }
  return static_cast<size_t>(size.QuadPart);
}

std::unique_ptr<std::byte[]> ReadAll(const std::string& path, HANDLE file, size_t size) {
  constexpr size_t kMaxRead = size_t{1} << 30;
  std::unique_ptr<std::byte[]> data(new (std::nothrow) std::byte[size]);
  if (!data) Fail(path, fmt::format("not enough memory to read {} bytes", size));
  for (size_t done = 0; done < size;) {
    const auto wanted = static_cast<DWORD>(std::min(size - done, kMaxRead));
    DWORD n = 0;
    if (!ReadFile(file, data.get() + done, wanted, &n, nullptr)) FailLast(path, "cannot read");
    if (n == 0) Fail(path, "file became shorter while it was read");
    done += n;
  }
  return data;
}

}  // namespace

MappedFile MappedFile::Open(const std::string& path, MapMode mode) {
  const std::filesystem::path name(path);
  std::error_code error;
  if (std::filesystem::is_directory(name, error)) Fail(path, "is a folder, not a file");
  const Handle file(CreateFileW(name.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE,
                                nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr));
  if (file.get() == INVALID_HANDLE_VALUE) FailLast(path, "cannot open");
  const size_t size = CheckedSize(path, file.get());
  if (mode == MapMode::kRead) {
    return MappedFile(path, ReadAll(path, file.get(), size).release(), size, mode);
  }
  const Handle mapping(CreateFileMappingW(file.get(), nullptr, PAGE_READONLY, 0, 0, nullptr));
  if (mapping.get() == nullptr) FailLast(path, "cannot map into memory");
  // The view keeps mapping and file alive.
  void* data = MapViewOfFile(mapping.get(), FILE_MAP_READ, 0, 0, size);
  if (data == nullptr) FailLast(path, "cannot map into memory");
  return MappedFile(path, static_cast<std::byte*>(data), size, mode);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  if (mode_ == MapMode::kRead) {
    delete[] data_;
  } else {
    UnmapViewOfFile(data_);
  }
}

}  // namespace spark
#endif  // _WIN32
