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
  std::string bos{};       // in front of the whole; if not empty, do not add Tokenizer::bos() again
  std::string system{};    // system prompt of a conversation that brings none; empty: no such turn
  std::string preamble{};  // opens the first system turn, which is always there then: Llama 3.1
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

// What follows an answer that the model has generated: the end of its turn, the turns `next`, and
// the beginning of the next answer. So a session goes on without rendering again:
//     RenderChat(first, true) + answer + RenderNextTurns(next)
// is RenderChat of all the messages together (where a format trims: if the answer has no white
// space around it). `answer` is the generated text without its end token. If that token has been
// fed to the model as well, `end_token_is_fed` leaves it out here.
std::string RenderNextTurns(const ChatFormat& format, std::span<const ChatMessage> next,
                            bool end_token_is_fed = false);

}  // namespace spark

#endif  // SPARK_CHAT_H_
