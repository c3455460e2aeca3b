// A cursor over untrusted little-endian bytes: no read leaves them, and every failure names the
// file, the offset and the field.
#ifndef SPARK_IO_BYTE_READER_H_
#define SPARK_IO_BYTE_READER_H_

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/quoted.h"
#include "spark/error.h"

namespace spark {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian, and their tensors are used in place");

// A value that may lie at any address.
template <typename T>
T LoadAs(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}

class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file)
      : bytes_(bytes), file_(std::move(file)) {}

  uint64_t offset() const { return offset_; }
  uint64_t size() const { return bytes_.size(); }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  const std::string& file() const { return file_; }

  // Moves past `n` bytes and returns where they start.
  const std::byte* Skip(uint64_t n, std::string_view field) {
    if (n > remaining()) {
      Fail("file ends too early", offset_, field, fmt::format("{} bytes left", remaining()),
           fmt::format("at least {}", n));
    }
    const std::byte* start = bytes_.data() + offset_;
    offset_ += n;
    return start;
  }

  template <typename T>
  requires std::is_arithmetic_v<T> T Read(std::string_view field) {
    return LoadAs<T>(Skip(sizeof(T), field));
  }

  // GGUF's string: 64-bit length, then that many bytes.
  std::string_view ReadString(std::string_view field) {
    const uint64_t start = offset_;
    const auto length = Read<uint64_t>(field);
    if (length > remaining()) {
      Fail("string goes past the end of the file", start, field, fmt::format("{} bytes", length),
           fmt::format("at most {}", remaining()));
    }
    return {reinterpret_cast<const char*>(Skip(length, field)), length};
  }

  [[noreturn]] void Fail(const std::string& message, uint64_t offset, std::string_view field,
                         std::string found = {}, std::string allowed = {}) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .offset = offset,
                                      .field = std::string(field),
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  uint64_t offset_ = 0;
};

}  // namespace spark

#endif  // SPARK_IO_BYTE_READER_H_
