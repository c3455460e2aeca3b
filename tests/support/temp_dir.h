// A folder of its own for a test, removed at the end.
#ifndef SPARK_TESTS_SUPPORT_TEMP_DIR_H_
#define SPARK_TESTS_SUPPORT_TEMP_DIR_H_

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>

namespace spark::test {

class TempDir {
 public:
  TempDir()
      : path_(std::filesystem::temp_directory_path() / fmt::format("spark-test-{:08x}{:08x}",
                                                                   std::random_device{}(),
                                                                   std::random_device{}())) {
    std::filesystem::create_directories(path_);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }

  // Both return the path of the file.
  std::string Write(std::string_view name, std::span<const std::byte> bytes) const {
    const std::string path = *this / name;
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string Write(std::string_view name, std::string_view text) const {
    return Write(name, std::as_bytes(std::span(text)));
  }

 private:
  std::filesystem::path path_;
};

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_TEMP_DIR_H_
