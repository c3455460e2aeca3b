// A checksum of bytes: tells accidents and mix-ups apart, not attacks.
#ifndef SPARK_BASE_HASH_H_
#define SPARK_BASE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace spark {

// 64-bit FNV-1a. Every step is a bijection of the state, so a single changed byte always shows.
class Fnv1a {
 public:
  void Add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) {
      state_ = (state_ ^ std::to_integer<uint64_t>(b)) * 0x100000001b3;
    }
  }
  // With its length, so that "ab", "c" and "a", "bc" differ.
  void Add(std::string_view text) {
    Add(uint64_t{text.size()});
    Add(std::as_bytes(std::span(text)));
  }
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void Add(T value) { Add(std::as_bytes(std::span(&value, 1))); }

  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0xcbf29ce484222325;
};

}  // namespace spark

#endif  // SPARK_BASE_HASH_H_
