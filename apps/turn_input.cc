#include "apps/turn_input.h"

#include <string_view>

namespace spark {
namespace {

constexpr std::string_view kQuote = R"(""")";
constexpr const char* kFirst = "> ";
constexpr const char* kMore = ". ";

// `text`: what stands behind the opening quote. The input may end without a closing one.
std::string ReadBlock(std::string text, const ReadLine& read_line) {
  while (!text.ends_with(kQuote)) {
    const std::optional<std::string> line = read_line(kMore);
    if (!line) return text;
    text += (text.empty() ? "" : "\n") + *line;
  }
  text.resize(text.size() - kQuote.size());
  if (text.ends_with('\n')) text.pop_back();  // the closing quote had a line of its own
  return text;
}

std::string ReadContinued(std::string text, const ReadLine& read_line) {
  while (text.ends_with('\\')) {
    text.back() = '\n';
    const std::optional<std::string> line = read_line(kMore);
    if (!line) break;
    text += *line;
  }
  return text;
}

}  // namespace

std::optional<TurnInput> ReadTurn(const ReadLine& read_line) {
  while (std::optional<std::string> line = read_line(kFirst)) {
    if (line->starts_with('/')) return TurnInput{*line, true};
    const std::string text = line->starts_with(kQuote)
                                 ? ReadBlock(line->substr(kQuote.size()), read_line)
                                 : ReadContinued(*line, read_line);
    if (text.find_first_not_of(" \t\r\n") != std::string::npos) return TurnInput{text, false};
  }
  return std::nullopt;
}

}  // namespace spark
