#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <fstream>
#include <iterator>

#include "spark/chat.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr std::string_view kChatMl = "chatml";
constexpr std::string_view kLlama3 = "llama3";
constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";  // what Jinja's `trim` drops, in ASCII

// ChatML, of which the model cards of Qwen2, SmolLM2 and others are examples.
ChatFormat MakeChatMl() {
  return {.name = std::string(kChatMl),
          .turn_begin = "<|im_start|>",
          .role_end = "\n",
          .turn_end = "<|im_end|>\n",
          .trim = false};
}

// Meta's "Llama 3 model card & prompt formats".
ChatFormat MakeLlama3() {
  return {.name = std::string(kLlama3),
          .turn_begin = "<|start_header_id|>",
          .role_end = "<|end_header_id|>\n\n",
          .turn_end = "<|eot_id|>",
          .bos = "<|begin_of_text|>",
          .trim = true};
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

// The value of the Jinja string literal that begins, behind its opening `quote`, at `begin`.
std::string ReadLiteral(std::string_view jinja, size_t begin, char quote) {
  std::string value;
  for (size_t i = begin; i < jinja.size() && jinja[i] != quote; ++i) {
    if (jinja[i] != '\\' || i + 1 == jinja.size()) {
      value += jinja[i];
      continue;
    }
    const char escaped = jinja[++i];
    value += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
  }
  return value;
}

// A template with a default system prompt spells the whole turn in one literal:
// '<|im_start|>system\nYou are …<|im_end|>\n'. Literals that stop after "system\n" frame a message.
std::string FindSystemPrompt(std::string_view jinja, const ChatFormat& format) {
  const std::string opening = format.turn_begin + "system" + format.role_end;
  for (size_t at = jinja.find(format.turn_begin); at != std::string_view::npos;
       at = jinja.find(format.turn_begin, at + 1)) {
    if (at == 0 || (jinja[at - 1] != '\'' && jinja[at - 1] != '"')) continue;
    const std::string literal = ReadLiteral(jinja, at, jinja[at - 1]);
    const size_t end = literal.find(Trim(format.turn_end));
    if (literal.starts_with(opening) && end != std::string::npos && end > opening.size()) {
      return literal.substr(opening.size(), end - opening.size());
    }
  }
  return {};
}

// Llama 3.1 and 3.2 tell the model two dates in every conversation. The second is the template's
// fallback where it would ask for today's, so that the same prompt gives the same answer every day.
std::string FindPreamble(std::string_view jinja) {
  if (!Contains(jinja, "Cutting Knowledge Date: December 2023")) return {};
  return "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
}

bool TrimsContent(std::string_view jinja) {
  constexpr std::array<std::string_view, 5> kTrims = {"['content'] | trim", "['content']|trim",
                                                      "[\"content\"] | trim", ".content | trim",
                                                      ".content|trim"};
  for (const std::string_view trim : kTrims) {
    if (Contains(jinja, trim)) return true;
  }
  return false;
}

void AppendTurn(const ChatFormat& format, std::string_view role, std::string_view content,
                std::string& out) {
  out += format.turn_begin;
  out += role;
  out += format.role_end;
  if (role == "system") out += format.preamble;
  out += format.trim ? Trim(content) : content;
  out += format.turn_end;
}

void AppendGenerationPrompt(const ChatFormat& format, std::string& out) {
  out += format.turn_begin + "assistant" + format.role_end;
}

std::string Names() { return fmt::format("{}", fmt::join(ChatFormatNames(), ", ")); }

}  // namespace

std::vector<std::string_view> ChatFormatNames() { return {kChatMl, kLlama3}; }

std::optional<ChatFormat> FindChatFormat(std::string_view name) {
  if (name == kChatMl) return MakeChatMl();
  if (name == kLlama3) return MakeLlama3();
  return std::nullopt;
}

std::optional<ChatFormat> DetectChatFormat(std::string_view jinja) {
  ChatFormat format;
  if (Contains(jinja, "<|im_start|>") && Contains(jinja, "<|im_end|>")) {
    format = MakeChatMl();
  } else if (Contains(jinja, "<|start_header_id|>") && Contains(jinja, "<|eot_id|>")) {
    format = MakeLlama3();
    format.preamble = FindPreamble(jinja);
    if (!Contains(jinja, "bos_token") && !Contains(jinja, format.bos)) format.bos.clear();
  } else {
    return std::nullopt;
  }
  format.system = FindSystemPrompt(jinja, format);
  format.trim = TrimsContent(jinja);
  return format;
}

ChatFormat ChatFormatOf(std::string_view jinja) {
  if (auto format = DetectChatFormat(jinja)) return *format;
  throw Error("unrecognised chat template; choose a format with --chat-template",
              {.field = "tokenizer.chat_template",
               .found = jinja.empty() ? "none" : fmt::format("\"{}…\"", jinja.substr(0, 60)),
               .allowed = Names()});
}

ChatFormat LoadChatFormat(const std::string& name_or_file) {
  if (auto format = FindChatFormat(name_or_file)) return *format;
  constexpr std::streamsize kMaxSize = 1 << 20;  // real templates have some kilobytes
  std::ifstream file(name_or_file, std::ios::binary);
  std::string jinja(kMaxSize, '\0');
  file.read(jinja.data(), kMaxSize);
  if (!file.is_open() || file.bad() || !file.eof()) {
    throw Error("neither the name of a chat format nor a readable template file",
                {.field = "--chat-template",
                 .found = "\"" + name_or_file + "\"",
                 .allowed = Names() + ", or a file"});
  }
  jinja.resize(static_cast<size_t>(file.gcount()));
  if (auto format = DetectChatFormat(jinja)) return *format;
  throw Error("unrecognised chat template",
              {.file = name_or_file, .field = "--chat-template", .allowed = Names()});
}

std::string RenderChat(const ChatFormat& format, std::span<const ChatMessage> messages,
                       bool add_generation_prompt) {
  std::string out = format.bos;
  const bool brings_system = !messages.empty() && messages.front().role == "system";
  if (!brings_system && !(format.system.empty() && format.preamble.empty())) {
    AppendTurn(format, "system", format.system, out);
  }
  for (const ChatMessage& message : messages) {
    AppendTurn(format, message.role, message.content, out);
  }
  if (add_generation_prompt) AppendGenerationPrompt(format, out);
  return out;
}

std::string RenderNextTurns(const ChatFormat& format, std::span<const ChatMessage> next,
                            bool end_token_is_fed) {
  const std::string_view end = format.turn_end;
  // The end token is all of `turn_end` but its white space.
  std::string out(end_token_is_fed ? end.substr(Trim(end).size()) : end);
  for (const ChatMessage& message : next) AppendTurn(format, message.role, message.content, out);
  AppendGenerationPrompt(format, out);
  return out;
}

}  // namespace spark
