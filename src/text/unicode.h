// What tokenizers need of the Unicode tables (utf8proc).
#ifndef SPARK_TEXT_UNICODE_H_
#define SPARK_TEXT_UNICODE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace spark {

enum class NormalForm : uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// Each form of Unicode's annex 15. Bytes that belong to no character stay as they are. Linear in
// the length of `text`, whatever marks it piles up.
std::string Normalize(std::string_view text, NormalForm form);

// Character by character, by the full mapping ("İ" becomes two characters).
std::string Lowercase(std::string_view text);

// How many bytes of white space (White_Space) the text begins or ends with.
size_t LeadingSpace(std::string_view text);
size_t TrailingSpace(std::string_view text);

// Whether the first or last character is a letter, mark, digit or connector (\w).
bool BeginsWithWord(std::string_view text);
bool EndsWithWord(std::string_view text);

}  // namespace spark

#endif  // SPARK_TEXT_UNICODE_H_
