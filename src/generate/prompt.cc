#include "spark/prompt.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "spark/error.h"

namespace spark {
namespace {

std::string_view TrimSpaces(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const auto [at, ignored] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(at - a.begin());
}

// The character that a backslash and `c` stand for.
std::optional<char> SimpleEscape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '0':
      return '\0';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return std::nullopt;
  }
}

}  // namespace

PromptParts RenderChatPrompt(const ChatFormat& format, std::string_view system,
                             std::string_view prompt, std::string_view question) {
  const auto render = [&](std::string_view end) {
    std::vector<ChatMessage> messages;
    if (!system.empty()) messages.push_back({"system", std::string(system)});
    messages.push_back({"user", std::string(prompt) + std::string(end)});
    return RenderChat(format, messages, true);
  };
  const std::string whole = render(question);
  // Where the prompt ends in the rendered text is where two different ends begin to differ,
  // whatever the format trims or puts around a message.
  const std::string one = render("1");
  const std::string_view head = std::string_view(one).substr(0, CommonPrefix(one, render("2")));
  const size_t cut = CommonPrefix(whole, head);
  return {whole.substr(0, cut), whole.substr(cut)};
}

std::vector<TokenId> EncodeContext(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids = tokenizer.Encode(text, Tokenizer::Special::kParse);
  const TokenId bos = tokenizer.bos();
  // Chat formats and careful users spell it out; two of them would be one too many.
  const bool add = ids.empty() || (tokenizer.add_bos() && ids.front() != bos);
  if (bos >= 0 && add) ids.insert(ids.begin(), bos);
  return ids;
}

std::vector<TokenId> ParseTokenIds(std::string_view text, const std::string& flag) {
  std::vector<TokenId> ids;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view word = TrimSpaces(text.substr(begin, end - begin));
    TokenId id = 0;
    const auto [stopped, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stopped != word.data() + word.size() || id < 0) {
      throw UsageError("not a token id",
                       {.field = flag,
                        .found = word.empty() ? "nothing" : "'" + std::string(word) + "'",
                        .allowed = "whole numbers separated by commas"});
    }
    ids.push_back(id);
    begin = end + 1;
  }
  return ids;
}

std::string ProcessEscapes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[i + 1];
    if (const std::optional<char> c = SimpleEscape(next)) {
      out += *c;
      ++i;
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = next == 'x' ? text.substr(i + 2, 2) : std::string_view();
    const auto [stopped, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() == 2 && error == std::errc() && stopped == digits.data() + 2) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += '\\';
    }
  }
  return out;
}

}  // namespace spark
