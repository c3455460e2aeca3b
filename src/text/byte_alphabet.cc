#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

namespace spark {
namespace {

constexpr bool IsPrintableLatin1(int c) {
  return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD);
}

// The byte that a code point stands for, -1 if none. The alphabet ends at U+0143.
constexpr std::array<int16_t, 0x144> MakeByteOfCodePoint() {
  std::array<int16_t, 0x144> table{};
  table.fill(-1);
  size_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const size_t code_point = IsPrintableLatin1(byte) ? static_cast<size_t>(byte) : next++;
    table[code_point] = static_cast<int16_t>(byte);
  }
  return table;
}

constexpr auto kByteOfCodePoint = MakeByteOfCodePoint();

}  // namespace

bool AppendBytesOf(std::string_view written, std::string& bytes) {
  const size_t old_size = bytes.size();
  for (size_t i = 0; i < written.size(); ++i) {
    // The whole alphabet is written in one or two bytes of UTF-8, so nothing longer is decoded.
    size_t code_point = static_cast<uint8_t>(written[i]);
    if (code_point >= 0x80) {
      const bool is_pair = code_point >= 0xC2 && code_point <= 0xDF && i + 1 < written.size() &&
                           (static_cast<uint8_t>(written[i + 1]) & 0xC0) == 0x80;
      code_point = is_pair ? (code_point & 0x1F) << 6 | (static_cast<uint8_t>(written[++i]) & 0x3F)
                           : kByteOfCodePoint.size();
    }
    const int byte = code_point < kByteOfCodePoint.size() ? kByteOfCodePoint[code_point] : -1;
    if (byte < 0) {
      bytes.resize(old_size);
      return false;
    }
    bytes += static_cast<char>(byte);
  }
  return true;
}

}  // namespace spark
