// Files whose contents survive a crash, and that one process at a time writes to.
#ifndef SPARK_BASE_DURABLE_FILE_H_
#define SPARK_BASE_DURABLE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "spark/error.h"

namespace spark {

// Lines are added at the end; each is on the disk when Append() returns. All functions throw Error,
// naming the path and the system's reason.
class AppendedFile {
 public:
  // Opens or makes the file, and locks it. Throws `busy` where another process has it.
  AppendedFile(const std::string& path, const Error& busy);
  ~AppendedFile();
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  void Append(std::string_view text);  // all of it, or nothing
  void CutTo(uint64_t size);

 private:
  std::string path_;
  intptr_t file_;  // what the system knows it by
};

// The whole file at once: readers see the old contents or the new ones.
void ReplaceFile(const std::string& path, std::string_view text);

}  // namespace spark

#endif  // SPARK_BASE_DURABLE_FILE_H_
