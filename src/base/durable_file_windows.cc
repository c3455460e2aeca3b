// Written for Windows, compiled, never run.
#include "base/durable_file.h"

#ifdef _WIN32
#include <windows.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace spark {
namespace {

[[noreturn]] void Fail(DWORD error, const std::string& path, const std::string& what) {
  throw Error(what + ": " + std::system_category().message(static_cast<int>(error)),
              {.file = path});
}

HANDLE HandleOf(intptr_t file) { return reinterpret_cast<HANDLE>(file); }

// Creation: OPEN_ALWAYS and the like. Others may read meanwhile, but not write.
HANDLE OpenToWrite(const std::string& path, DWORD creation) {
  return CreateFileW(std::filesystem::path(path).c_str(), GENERIC_READ | GENERIC_WRITE,
                     FILE_SHARE_READ, nullptr, creation, FILE_ATTRIBUTE_NORMAL, nullptr);
}

// 0, or what went wrong.
DWORD WriteAll(HANDLE file, std::string_view text) {
  while (!text.empty()) {
    const auto size = static_cast<DWORD>(std::min(text.size(), size_t{1} << 20));
    DWORD written = 0;
    if (!WriteFile(file, text.data(), size, &written, nullptr)) return GetLastError();
    text.remove_prefix(written);
  }
  return FlushFileBuffers(file) ? 0 : GetLastError();
}

bool Cut(HANDLE file, uint64_t size) {
  LARGE_INTEGER place;
  place.QuadPart = static_cast<LONGLONG>(size);
  return SetFilePointerEx(file, place, nullptr, FILE_BEGIN) && SetEndOfFile(file);
}

}  // namespace

AppendedFile::AppendedFile(const std::string& path, const Error& busy)
    : path_(path), file_(reinterpret_cast<intptr_t>(OpenToWrite(path, OPEN_ALWAYS))) {
  if (HandleOf(file_) != INVALID_HANDLE_VALUE) return;
  const DWORD error = GetLastError();
  if (error == ERROR_SHARING_VIOLATION) throw Error(busy);
  Fail(error, path, "cannot be written");
}

AppendedFile::~AppendedFile() { CloseHandle(HandleOf(file_)); }

void AppendedFile::Append(std::string_view text) {
  const HANDLE file = HandleOf(file_);
  LARGE_INTEGER before;
  if (!SetFilePointerEx(file, LARGE_INTEGER{}, &before, FILE_END)) {
    Fail(GetLastError(), path_, "cannot be written");
  }
  const DWORD error = WriteAll(file, text);
  if (error == 0) return;
  Cut(file, static_cast<uint64_t>(before.QuadPart));
  Fail(error, path_, "cannot be written");
}

void AppendedFile::CutTo(uint64_t size) {
  if (!Cut(HandleOf(file_), size)) Fail(GetLastError(), path_, "cannot be cut off");
}

void ReplaceFile(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  const HANDLE file = OpenToWrite(temporary, CREATE_ALWAYS);
  if (file == INVALID_HANDLE_VALUE) Fail(GetLastError(), temporary, "cannot be written");
  DWORD error = WriteAll(file, text);
  CloseHandle(file);
  const std::filesystem::path from(temporary), to(path);
  if (error == 0 &&
      !MoveFileExW(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
    error = GetLastError();
  }
  if (error == 0) return;
  DeleteFileW(from.c_str());
  Fail(error, path, "cannot be written");
}

}  // namespace spark
#endif  // _WIN32
