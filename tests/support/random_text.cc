#include "tests/support/random_text.h"

#include <array>
#include <cstdint>

namespace spark::testing {
namespace {

uint32_t Below(std::mt19937& random, uint32_t n) { return static_cast<uint32_t>(random() % n); }

}  // namespace

void AppendUtf8(char32_t c, std::string& text) {
  const auto append = [&text](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    append(c);
  } else if (c < 0x800) {
    append(0xC0 | c >> 6);
    append(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    append(0xE0 | c >> 12);
    append(0x80 | (c >> 6 & 0x3F));
    append(0x80 | (c & 0x3F));
  } else {
    append(0xF0 | c >> 18);
    append(0x80 | (c >> 12 & 0x3F));
    append(0x80 | (c >> 6 & 0x3F));
    append(0x80 | (c & 0x3F));
  }
}

std::string RandomUnicodeLine(std::mt19937& random) {
  static constexpr std::array<const char*, 14> kBits = {
      " the", "  ",   "\n", "\r\n",   "'ll",          "1234567",     "...",
      "\t",   "日本", "é",  "\u00A0", "<|im_start|>", "👩‍👧", "ſ'S"};
  std::string line;
  for (uint32_t parts = Below(random, 16); parts > 0; --parts) {
    switch (Below(random, 4)) {
      case 0:
        line += kBits[Below(random, kBits.size())];
        break;
      case 1:
        line += static_cast<char>(Below(random, 0x80));
        break;
      case 2:
        AppendUtf8(Below(random, 0x3000), line);
        break;
      default: {
        const char32_t any = Below(random, 0x110000);
        if (any < 0xD800 || any > 0xDFFF) AppendUtf8(any, line);
      }
    }
  }
  return line;
}

std::string RandomBytes(std::mt19937& random, size_t max_size) {
  static constexpr std::array<uint8_t, 16> kTelling = {0x00, 0x20, 0x41, 0x7F, 0x80, 0x8F,
                                                       0x90, 0xA0, 0xBF, 0xC2, 0xE0, 0xED,
                                                       0xEF, 0xF0, 0xF4, 0xFF};
  std::string bytes(Below(random, static_cast<uint32_t>(max_size) + 1), '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(Below(random, 2) == 0 ? kTelling[Below(random, kTelling.size())]
                                                   : Below(random, 256));
  }
  return bytes;
}

}  // namespace spark::testing
