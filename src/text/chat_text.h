// Searching and trimming for chat formats.
#ifndef SPARK_TEXT_CHAT_TEXT_H_
#define SPARK_TEXT_CHAT_TEXT_H_

#include <string_view>

namespace spark {

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Without the white space around it that Jinja's `trim` drops, in ASCII.
inline std::string_view Trim(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

}  // namespace spark

#endif  // SPARK_TEXT_CHAT_TEXT_H_
