// The formats by name: what detection starts from, and what --chat-template chooses.
#include <algorithm>
#include <array>

#include "spark/chat.h"

namespace spark {
namespace {

// "<|im_start|>role\n … <|im_end|>\n" and its like.
ChatFormat OwnTurns(const std::string& name, const std::string& before_role,
                    const std::string& behind_role, const std::string& end, bool trim = false) {
  const auto turn = [&](const std::string& role) {
    return ChatTurn{before_role + role + behind_role, end, trim};
  };
  return {
      .name = name, .system = turn("system"), .user = turn("user"), .assistant = turn("assistant")};
}

// ChatML, of which the model cards of Qwen2, SmolLM2 and others are examples.
ChatFormat ChatMl(const std::string& name = "chatml", const std::string& system = "") {
  ChatFormat format = OwnTurns(name, "<|im_start|>", "\n", "<|im_end|>\n");
  format.default_system = system;
  return format;
}

// Qwen3 answers without thinking behind a thought that is empty.
ChatFormat Qwen3() {
  ChatFormat format = ChatMl("qwen3");
  format.assistant.begin += "<think>\n\n</think>\n\n";
  return format;
}

// Meta's "Llama 3 model card & prompt formats".
ChatFormat Llama3() {
  ChatFormat format =
      OwnTurns("llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", true);
  format.bos = "<|begin_of_text|>";
  return format;
}

ChatFormat Gemma() {
  return {.name = "gemma",
          .bos = "<bos>",
          .system = {"", "\n\n"},
          .user = {"<start_of_turn>user\n", "<end_of_turn>\n", true},
          .assistant = {"<start_of_turn>model\n", "<end_of_turn>\n", true},
          .system_place = SystemPlace::kBeforeUser};
}

// The [INST] of Llama 2: its <<SYS>> is part of the first user's content, and every user turn has a
// <s> of its own.
ChatFormat Llama2() {
  return {.name = "llama2",
          .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
          .user = {"<s>[INST] ", " [/INST]", true},
          .assistant = {" ", " </s>", true},
          .system_place = SystemPlace::kWithinUser};
}

// The [INST] of Mistral AI, which changed its white space with every tokenizer: see
// github.com/mistralai/cookbook, concept-deep-dive/tokenization/chat_templates.md
ChatFormat Mistral(const std::string& name, const std::string& user_begin,
                   const std::string& user_end, const std::string& answer_begin) {
  return {.name = name,
          .bos = "<s>",
          .system = {"", "\n\n"},
          .user = {user_begin, user_end},
          .assistant = {answer_begin, "</s>"},
          .system_place = SystemPlace::kBeforeUser};
}

// From v7 on a system prompt is a turn.
ChatFormat MistralV7(const std::string& name, const std::string& space) {
  ChatFormat format = Mistral(name, "[INST]" + space, "[/INST]", space);
  format.system = {"[SYSTEM_PROMPT]" + space, "[/SYSTEM_PROMPT]"};
  format.system_place = SystemPlace::kOwnTurn;
  return format;
}

ChatFormat MistralV3() {
  ChatFormat format = Mistral("mistral-v3", "[INST] ", "[/INST]", " ");
  format.assistant.trim = true;
  return format;
}

const std::vector<ChatFormat>& Formats() {
  static const std::vector<ChatFormat> formats = {
      ChatMl(),
      Llama2(),
      Llama3(),
      Mistral("mistral-v0", "[INST] ", " [/INST]", ""),
      Mistral("mistral-v1", " [INST] ", " [/INST]", " "),
      MistralV3(),
      Mistral("mistral-v3-tekken", "[INST]", "[/INST]", ""),
      MistralV7("mistral-v7", " "),
      MistralV7("mistral-v7-tekken", ""),
      Gemma(),
      OwnTurns("phi3", "<|", "|>\n", "<|end|>\n"),
      ChatMl("qwen2", "You are a helpful assistant."),
      ChatMl("qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
      Qwen3(),
      OwnTurns("zephyr", "<|", "|>\n", "</s>\n"),
  };
  return formats;
}

}  // namespace

std::vector<std::string_view> ChatFormatNames() {
  std::vector<std::string_view> names;
  for (const ChatFormat& format : Formats()) names.push_back(format.name);
  return names;
}

std::optional<ChatFormat> FindChatFormat(std::string_view name) {
  const auto found = std::ranges::find(Formats(), name, &ChatFormat::name);
  if (found == Formats().end()) return std::nullopt;
  return *found;
}

}  // namespace spark
