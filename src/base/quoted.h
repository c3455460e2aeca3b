// A string from a file, for an error message.
#ifndef SPARK_BASE_QUOTED_H_
#define SPARK_BASE_QUOTED_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace spark {

// `text` in quotes, cut to some 60 bytes between two characters.
inline std::string Quoted(std::string_view text) {
  constexpr size_t kMaxSize = 60;
  if (text.size() <= kMaxSize) return '"' + std::string(text) + '"';
  size_t size = kMaxSize;
  while (size > kMaxSize - 3 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return '"' + std::string(text.substr(0, size)) + "…\"";
}

}  // namespace spark

#endif  // SPARK_BASE_QUOTED_H_
