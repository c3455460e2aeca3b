// Recognises the format that a Jinja template describes, by what it quotes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "base/quoted.h"
#include "spark/chat.h"
#include "spark/error.h"
#include "text/chat_text.h"

namespace spark {
namespace {

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

struct Literal {
  size_t quote = 0;  // where it opens
  std::string value;
};

// The string literals that begin with `opening`, spaces in front of it aside.
std::vector<Literal> FindLiterals(std::string_view jinja, std::string_view opening) {
  std::vector<Literal> found;
  for (size_t at = jinja.find(opening); at != jinja.npos; at = jinja.find(opening, at + 1)) {
    const size_t before = jinja.substr(0, at).find_last_not_of(' ');
    if (before == jinja.npos || (jinja[before] != '\'' && jinja[before] != '"')) continue;
    found.push_back({before, ReadLiteral(jinja, before + 1, jinja[before])});
  }
  return found;
}

// The template in one spelling: without spaces, with ' for ", line breaks for \n, and literals
// that are added up made one.
std::string Normalised(std::string_view jinja) {
  std::string out;
  for (size_t i = 0; i < jinja.size(); ++i) {
    if (jinja[i] == ' ') continue;
    const bool breaks = jinja[i] == '\\' && i + 1 < jinja.size() && jinja[i + 1] == 'n';
    out += breaks ? '\n' : jinja[i] == '"' ? '\'' : jinja[i];
    i += breaks ? 1 : 0;
    // Not ''+'…: the first of these is a space.
    if (out.ends_with("'+'") && !out.ends_with("''+'")) out.resize(out.size() - 3);
  }
  return out;
}

bool ContainsAny(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return Contains(text, part); });
}

// A template with a default system prompt spells the whole turn in one literal:
// '<|im_start|>system\nYou are …<|im_end|>\n'. Literals that stop after "system\n" frame a message.
std::string FindDefaultSystem(std::string_view jinja, const ChatTurn& turn) {
  for (const Literal& literal : FindLiterals(jinja, turn.begin.substr(0, turn.begin.find('\n')))) {
    const std::string_view value = literal.value;
    const size_t end = value.find(Trim(turn.end));
    if (value.starts_with(turn.begin) && end != value.npos && end > turn.begin.size()) {
      return literal.value.substr(turn.begin.size(), end - turn.begin.size());
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

ChatFormat Named(std::string_view name) { return FindChatFormat(name).value(); }

void SetTrim(ChatFormat& format, bool trim) {
  format.system.trim = format.user.trim = format.assistant.trim = trim;
}

ChatFormat DetectChatMl(std::string_view jinja, std::string_view normalised) {
  ChatFormat format = Named("chatml");
  if (Contains(normalised, "enable_thinking") && Contains(normalised, "<think>\n\n</think>\n\n'")) {
    format = Named("qwen3");
  } else if (Contains(normalised, "'<|im_start|>assistant\n<think>\n'")) {
    format.assistant.begin += "<think>\n";  // it always thinks
  }
  format.default_system = FindDefaultSystem(jinja, format.system);
  SetTrim(format, ContainsAny(normalised, {"content']|trim", ".content|trim"}));
  return format;
}

ChatFormat DetectLlama3(std::string_view jinja, std::string_view normalised) {
  ChatFormat format = Named("llama3");
  format.preamble = FindPreamble(jinja);
  if (!Contains(jinja, "bos_token") && !Contains(jinja, format.bos)) format.bos.clear();
  format.default_system = FindDefaultSystem(jinja, format.system);
  SetTrim(format, ContainsAny(normalised, {"content']|trim", ".content|trim"}));
  return format;
}

std::string FirstLiteral(std::string_view jinja, std::string_view opening,
                         const std::string& otherwise) {
  for (const Literal& literal : FindLiterals(jinja, opening)) {
    if (!Contains(literal.value, "<<SYS>>")) return literal.value;
  }
  return otherwise;
}

// Whether the expression in front of a literal adds a bos to it.
bool AddsBos(std::string_view jinja, std::string_view opening) {
  return std::ranges::any_of(FindLiterals(jinja, opening), [&](const Literal& literal) {
    return Normalised(jinja.substr(0, literal.quote)).ends_with("bos_token+");
  });
}

// Llama 2 and Mistral: which white space stands around the tags is read from the template.
ChatFormat DetectInst(std::string_view jinja, std::string_view normalised) {
  ChatFormat format = Named(Contains(jinja, "<<SYS>>")           ? "llama2"
                            : Contains(jinja, "[SYSTEM_PROMPT]") ? "mistral-v7"
                                                                 : "mistral-v0");
  if (format.system_place == SystemPlace::kOwnTurn) {
    format.system = {FirstLiteral(jinja, "[SYSTEM_PROMPT]", format.system.begin),
                     FirstLiteral(jinja, "[/SYSTEM_PROMPT]", format.system.end)};
  }
  const bool bos_a_turn = AddsBos(jinja, "[INST]");
  constexpr std::string_view kBos = "<s>", kNone;
  format.bos = !bos_a_turn && Contains(jinja, "bos_token") ? kBos : kNone;
  format.user.begin = bos_a_turn ? kBos : kNone;
  format.user.begin += FirstLiteral(jinja, "[INST]", "[INST] ");
  format.user.end = FirstLiteral(jinja, "[/INST]", " [/INST]");
  const bool space = ContainsAny(
      normalised, {"''+message['content']", "''+content", "''+message.content", "''+messages["});
  format.assistant.begin = std::string(space ? 1 : 0, ' ');
  format.assistant.end = Contains(normalised, "''+eos_token") ? " </s>" : "</s>";
  if (Contains(normalised, "eos_token+''")) format.assistant.end += ' ';
  format.user.trim = Contains(normalised, "content.strip()");
  format.assistant.trim = ContainsAny(normalised, {"content.strip()", "content']|trim+eos_token"});
  for (const std::string_view name : ChatFormatNames()) {
    const ChatFormat known = Named(name);
    if (known.user.begin == format.user.begin && known.user.end == format.user.end &&
        known.system.begin == format.system.begin) {
      format.name = known.name;
    }
  }
  return format;
}

ChatFormat DetectGemma(std::string_view jinja) {
  ChatFormat format = Named("gemma");
  if (!Contains(jinja, "bos_token") && !Contains(jinja, format.bos)) format.bos.clear();
  return format;
}

bool IsPhi3(std::string_view normalised) {
  return Contains(normalised, "<|end|>") &&
         ContainsAny(normalised, {"'<|user|>\n", "'<|'+message['role']+'|>\n"});
}

// Also TinyLlama.
bool IsZephyr(std::string_view normalised) {
  return Contains(normalised, "'<|user|>\n'+message['content']+eos_token") &&
         Contains(normalised, "<|assistant|>");
}

std::string Names() { return fmt::format("{}", fmt::join(ChatFormatNames(), ", ")); }

}  // namespace

std::optional<ChatFormat> DetectChatFormat(std::string_view jinja) {
  const std::string normalised = Normalised(jinja);
  // Phi-4 and SmolVLM are close to ChatML, but not the same.
  const bool is_other = ContainsAny(jinja, {"<|im_sep|>", "<end_of_utterance>"});
  if (Contains(jinja, "<|im_start|>") && Contains(jinja, "<|im_end|>") && !is_other) {
    return DetectChatMl(jinja, normalised);
  }
  if (Contains(jinja, "[INST]") && Contains(jinja, "[/INST]") && Contains(jinja, "eos_token")) {
    return DetectInst(jinja, normalised);
  }
  if (Contains(jinja, "<|start_header_id|>") && Contains(jinja, "<|eot_id|>")) {
    return DetectLlama3(jinja, normalised);
  }
  if (Contains(jinja, "<start_of_turn>") && Contains(jinja, "<end_of_turn>")) {
    return DetectGemma(jinja);
  }
  if (IsPhi3(normalised)) {
    ChatFormat format = Named("phi3");
    if (Contains(normalised, "{{bos_token}}")) format.bos = "<s>";
    return format;
  }
  if (IsZephyr(normalised)) return Named("zephyr");
  return std::nullopt;
}

ChatFormat ChatFormatOf(std::string_view jinja) {
  if (auto format = DetectChatFormat(jinja)) return *format;
  throw Error("unrecognised chat template; choose a format with --chat-template",
              {.field = "tokenizer.chat_template",
               .found = jinja.empty() ? "none" : Quoted(jinja),
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
                 .found = Quoted(name_or_file),
                 .allowed = Names() + ", or a file"});
  }
  jinja.resize(static_cast<size_t>(file.gcount()));
  if (auto format = DetectChatFormat(jinja)) return *format;
  throw Error("unrecognised chat template",
              {.file = name_or_file, .field = "--chat-template", .allowed = Names()});
}

}  // namespace spark
