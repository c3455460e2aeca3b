#include "apps/generate_prompts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>

#include "apps/console.h"
#include "spark/error.h"
#include "spark/prompt.h"

namespace spark {
namespace {

// Editors and `echo` end a text with a line break that is no part of what should be continued.
std::string WithoutFinalLineBreak(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

const Tokenizer& RequireTokenizer(const Model& model) {
  if (model.tokenizer() != nullptr) return *model.tokenizer();
  throw UsageError("the model has no tokenizer: give --prompt-ids and --question-ids");
}

std::string Unescape(const GenerateFlags& flags, const std::string& text) {
  return flags.escape ? ProcessEscapes(text) : text;
}

Piece FromIds(const Model& model, const std::string& text, const std::string& flag) {
  std::vector<TokenId> ids = ParseTokenIds(text, flag);
  return {ShowIds(model.tokenizer(), ids), std::move(ids)};
}

Piece EncodedQuestion(const Model& model, const std::string& shown, const std::string& text) {
  return {shown, RequireTokenizer(model).Encode(text, Tokenizer::Special::kParse)};
}

void CheckSameContext(const std::vector<TokenId>& ids, const SavedContext& saved,
                      const std::string& path) {
  if (ids == saved.ids()) return;
  const auto [mine, its] =
      std::mismatch(ids.begin(), ids.end(), saved.ids().begin(), saved.ids().end());
  throw Error("the prompt is not the context that was saved",
              {.file = path,
               .field = fmt::format("token {}", mine - ids.begin()),
               .found = its == saved.ids().end() ? "the end" : fmt::format("{}", *its),
               .allowed = mine == ids.end() ? "the end" : fmt::format("{}", *mine)});
}

ChatFormat ModelChatFormat(const Model& model) {
  if (auto format = model.chat_format()) return *format;
  throw UsageError("the model has no chat template: choose one with --chat-template");
}

}  // namespace

std::string ShowIds(const Tokenizer* tokenizer, const std::vector<TokenId>& ids) {
  if (tokenizer == nullptr) return fmt::format("{}", fmt::join(ids, " "));
  std::string text;
  for (const TokenId id : ids) {
    // What the model file does not name is reported when the ids are fed to the model.
    if (id >= 0 && static_cast<size_t>(id) < tokenizer->vocab_size()) {
      text += tokenizer->TokenBytes(id);
    }
  }
  return text;
}

std::optional<ChatFormat> SelectChatFormat(const GenerateFlags& flags, const Model& model) {
  if (flags.no_chat_template) {
    if (flags.system_prompt) throw UsageError("--system-prompt needs a chat template");
    return std::nullopt;
  }
  if (flags.chat_template) return LoadChatFormat(*flags.chat_template);
  if (flags.system_prompt) return ModelChatFormat(model);
  if (!flags.conversation) return std::nullopt;
  const std::optional<ChatFormat> format = model.chat_format();
  if (!format) {
    PrintMessage("the model has no chat template: turns are plain text, unless --chat-template");
  }
  return format;
}

std::string SystemPrompt(const GenerateFlags& flags) {
  return Unescape(flags, flags.system_prompt.value_or(""));
}

std::string ReadPromptText(const GenerateFlags& flags) {
  if (flags.prompt) return Unescape(flags, *flags.prompt);
  if (flags.file) return WithoutFinalLineBreak(ReadFile(*flags.file));
  if (StdinIsTerminal()) throw UsageError("no prompt: give -p TEXT, -f FILE, or text on stdin");
  return WithoutFinalLineBreak(ReadAll(std::cin, "stdin"));
}

Prompts PreparePrompts(const GenerateFlags& flags, const Model& model, const SavedContext* saved) {
  Prompts prompts;
  const std::optional<ChatFormat> format = SelectChatFormat(flags, model);
  const std::string system = SystemPrompt(flags);
  std::string prompt;
  if (flags.prompt_ids) {
    if (format) throw UsageError("--prompt-ids are fed as they are, without a chat template");
    prompts.context = FromIds(model, *flags.prompt_ids, "--prompt-ids");
  } else if (saved != nullptr && !flags.has_prompt()) {
    prompts.context = {ShowIds(model.tokenizer(), saved->ids()), saved->ids()};
  } else {
    prompt = ReadPromptText(flags);
    const PromptParts parts =
        format ? RenderChatPrompt(*format, system, prompt, "") : PromptParts{prompt, ""};
    const bool asked = !flags.questions.empty() || !flags.question_ids.empty();
    const std::string text = asked ? parts.context : parts.context + parts.question;
    prompts.context = {prompt, EncodeContext(RequireTokenizer(model), text)};
  }
  if (prompts.context.ids.empty()) {
    throw UsageError("the prompt is empty, and the model has no token to begin a text with");
  }
  if (saved != nullptr) CheckSameContext(prompts.context.ids, *saved, *flags.load_cache);
  for (const std::string& given : flags.questions) {
    const std::string question = Unescape(flags, given);
    prompts.questions.push_back(EncodedQuestion(
        model, question,
        format ? RenderChatPrompt(*format, system, prompt, question).question : question));
  }
  for (const std::string& ids : flags.question_ids) {
    prompts.questions.push_back(FromIds(model, ids, "--question-ids"));
  }
  prompts.chat = format.has_value();
  return prompts;
}

std::string RenderedChat(const GenerateFlags& flags, const Model& model) {
  if (flags.no_chat_template || flags.prompt_ids || flags.questions.size() > 1) {
    throw UsageError("--render-chat takes a chat format, a text, and at most one question");
  }
  const std::optional<ChatFormat> chosen = SelectChatFormat(flags, model);
  const PromptParts parts = RenderChatPrompt(
      chosen ? *chosen : ModelChatFormat(model), SystemPrompt(flags), ReadPromptText(flags),
      flags.questions.empty() ? "" : Unescape(flags, flags.questions[0]));
  return parts.context + parts.question;
}

}  // namespace spark
