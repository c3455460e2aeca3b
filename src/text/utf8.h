// UTF-8 as the Unicode standard defines it (table 3-7): no surrogates, no overlong forms, nothing
// beyond U+10FFFF.
#ifndef SPARK_TEXT_UTF8_H_
#define SPARK_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spark {

struct Utf8Step {
  enum class Kind : uint8_t {
    kCharacter,   // `size` bytes are a character
    kIncomplete,  // the text ends inside what may become a character; `size` is all that is left
    kInvalid      // one byte that belongs to no character
  };
  Kind kind;
  size_t size;
};

// What stands at the front of `text`, which is not empty.
inline Utf8Step NextUtf8(std::string_view text) {
  using Kind = Utf8Step::Kind;
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Kind::kCharacter, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::kInvalid, 1};
  const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Overlong forms, surrogates and numbers past U+10FFFF all show in the second byte.
  const uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size()) return {Kind::kIncomplete, i};
    if (byte(i) < (i == 1 ? lowest : 0x80) || byte(i) > (i == 1 ? highest : 0xBF)) {
      return {Kind::kInvalid, 1};
    }
  }
  return {Kind::kCharacter, size};
}

}  // namespace spark

#endif  // SPARK_TEXT_UTF8_H_
