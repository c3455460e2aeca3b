// Conversations as the text that a model was trained on. Files carry a Jinja template; it is
// recognised, not run, because a handful of formats cover the models and a template is a program.
#ifndef SPARK_CHAT_H_
#define SPARK_CHAT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// How the messages of one role are rendered: begin content end.
struct ChatTurn {
  std::string begin{};  // "<|im_start|>user\n"
  std::string end{};    // "<|im_end|>\n"
  bool trim = false;    // white space around a content is dropped
};

// Where a system prompt stands.
enum class SystemPlace : uint8_t {
  kOwnTurn,     // it is a turn like the others
  kBeforeUser,  // in the next user turn, in front of its content: Gemma, Mistral
  kWithinUser,  // the same, as part of the content, which is trimmed as a whole: Llama 2
};

// A conversation is bos and its turns. What makes a turn are control tokens: encode rendered text
// with Tokenizer::Special::kParse.
struct ChatFormat {
  std::string name{};  // what --chat-template calls it, or what is nearest to it
  std::string bos{};   // in front of the whole; if not empty, do not add Tokenizer::bos() again
  ChatTurn system{}, user{}, assistant{};
  SystemPlace system_place = SystemPlace::kOwnTurn;
  std::string default_system{};  // prompt of a conversation that brings none; empty: no such turn
  std::string preamble{};  // opens the first system turn, which is always there then: Llama 3.1

  // What the model answers behind: `assistant.begin` without spaces at its end, because there
  // ("[/INST] Hello") the space belongs to the first token of the answer.
  std::string_view answer_begin() const;
};

// The formats that --chat-template names: "chatml", "llama2", …
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
// Throws Error for a role that is none of the three.
//
// A conversation only grows, so that its cache never has to be computed again. Two published
// templates are not so: Mistral v3's moves the system prompt to the last user turn as turns are
// added (here it stays in the first), and Qwen3's takes the empty thought, which an answer was
// generated behind, out again later (here it stays).
std::string RenderChat(const ChatFormat& format, std::span<const ChatMessage> messages,
                       bool add_generation_prompt);

// What follows an answer that the model has generated: the end of its turn, the turns `next`, and
// the beginning of the next answer. So a session goes on without rendering again:
//     RenderChat(first, true) + answer + RenderNextTurns(next)
// is RenderChat of all the messages together, where `answer` is the generated text without its end
// token: the message's content behind the spaces that answer_begin() leaves out (and, if the
// format trims, without white space around it). If the end token has been fed to the model as well,
// `end_token_is_fed` leaves it out here.
std::string RenderNextTurns(const ChatFormat& format, std::span<const ChatMessage> next,
                            bool end_token_is_fed = false);

}  // namespace spark

#endif  // SPARK_CHAT_H_
