// Linux, macOS and other POSIX systems; durable_file_windows.cc for Windows.
#include "base/durable_file.h"

#ifndef _WIN32
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace spark {
namespace {

[[noreturn]] void FailWith(int error, const std::string& path, const std::string& what) {
  throw Error(fmt::format("{}: {}", what, std::generic_category().message(error)), {.file = path});
}

// 0, or what went wrong.
int WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

}  // namespace

AppendedFile::AppendedFile(const std::string& path, const Error& busy)
    : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) FailWith(errno, path, "cannot be written");
  if (flock(static_cast<int>(file_), LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(static_cast<int>(file_));
  if (error == EWOULDBLOCK) throw Error(busy);
  FailWith(error, path, "cannot be locked");
}

AppendedFile::~AppendedFile() { close(static_cast<int>(file_)); }

void AppendedFile::Append(std::string_view text) {
  const int file = static_cast<int>(file_);
  const off_t before = lseek(file, 0, SEEK_END);
  if (before < 0) FailWith(errno, path_, "cannot be written");
  int error = WriteAll(file, text);
  if (error == 0 && fsync(file) != 0) error = errno;
  if (error == 0) return;
  // Half a line would do no harm, but there is no need to leave one.
  [[maybe_unused]] const int ignored = ftruncate(file, before);
  FailWith(error, path_, "cannot be written");
}

void AppendedFile::CutTo(uint64_t size) {
  if (ftruncate(static_cast<int>(file_), static_cast<off_t>(size)) != 0) {
    FailWith(errno, path_, "cannot be cut off");
  }
}

void ReplaceFile(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) FailWith(errno, temporary, "cannot be written");
  int error = WriteAll(file, text);
  if (error == 0 && fsync(file) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  unlink(temporary.c_str());
  FailWith(error, path, "cannot be written");
}

}  // namespace spark
#endif  // _WIN32
