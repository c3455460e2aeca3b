// Conversations as the text that a model was trained on. Files carry a Jinja template; it is
// recognised, not run, because a handful of formats cover the models and a template is a program.
#ifndef SPARK_CHAT_H_
#define SPARK_CHAT_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"; others are passed on as they are
  std::string content;
};

// A turn is rendered as
//     turn_begin role role_end content turn_end
// and a conversation as bos, a system turn if there is one, and the turns. What makes a turn are
// control tokens: encode rendered text with Tokenizer::Special::kParse.
struct ChatFormat {
  std::string name{};        // what --chat-template calls it
  std::string turn_begin{};  // "<|im_start|>"
  std::string role_end{};    // "\n"
  std::string turn_end{};    // "<|im_end|>\n", of which the model generates the control token
  std::string bos{};         // stands in front of the whole; if not empty, do not add bos() again
  std::string system{};    // system prompt of conversations that bring none; empty: no system turn
  std::string preamble{};  // stands in front of every system prompt (Llama 3.1: two dates)
  bool trim = false;       // whether white space around a content is dropped
};

// The formats that --chat-template names: "chatml", "llama3".
std::vector<std::string_view> ChatFormatNames();
std::optional<ChatFormat> FindChatFormat(std::string_view name);

// The format that a Jinja template (`tokenizer.chat_template`) describes, with the template's own
// default system prompt. Nothing if it is not recognised.
std::optional<ChatFormat> DetectChatFormat(std::string_view jinja);

// The same, but an unrecognised template is an Error that says what to do.
ChatFormat ChatFormatOf(std::string_view jinja);

// The value of --chat-template: a name, or a file with a template. Throws Error.
ChatFormat LoadChatFormat(const std::string& name_or_file);

// A whole conversation. With `add_generation_prompt` it ends where the assistant's answer begins.
std::string RenderChat(const ChatFormat& format, std::span<const ChatMessage> messages,
                       bool add_generation_prompt);

// What stands between an answer that the model has generated and its next one, so that a session
// goes on without rendering again:
//     RenderChat(first, true) + answer + RenderNextTurns(next) == RenderChat(first + answer + next,
//     true)
// if the format does not trim, or there is nothing to trim. The generated text stands for
// `answer` without its end token; see EndOfAnswer.
//
// The end token that stopped generation may have been fed to the model already: then
// `end_token_is_fed` leaves it out.
std::string RenderNextTurns(const ChatFormat& format, std::span<const ChatMessage> next,
                            bool end_token_is_fed = false);

}  // namespace spark

#endif  // SPARK_CHAT_H_
