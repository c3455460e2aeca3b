#include "base/quoted.h"
#include "spark/chat.h"
#include "spark/error.h"
#include "text/chat_text.h"

namespace spark {
namespace {

class Renderer {
 public:
  explicit Renderer(const ChatFormat& format) : format_(format) {}

  void Add(const ChatMessage& message) {
    if (message.role == "system") {
      AddSystem(message.content, "");
    } else if (message.role == "user") {
      AddUser(message.content);
    } else if (message.role == "assistant") {
      AddTurn(format_.assistant, message.content);
    } else {
      throw Error("unknown role of a message",
                  {.found = Quoted(message.role), .allowed = "system, user, assistant"});
    }
  }

  // `preamble` stands in front of what is trimmed.
  void AddSystem(std::string_view content, std::string_view preamble) {
    const ChatTurn& turn = format_.system;
    std::string text = turn.begin;
    text += preamble;
    text += turn.trim ? Trim(content) : content;
    text += turn.end;
    (format_.system_place == SystemPlace::kOwnTurn ? out_ : for_user_) += text;
  }

  std::string Finish(bool add_generation_prompt) {
    if (!for_user_.empty()) AddUser("");
    if (add_generation_prompt) out_ += format_.answer_begin();
    return std::move(out_);
  }

 private:
  void AddUser(const std::string& content) {
    const ChatTurn& turn = format_.user;
    const std::string prefix = std::move(for_user_);
    for_user_.clear();
    if (format_.system_place == SystemPlace::kWithinUser) {
      AddTurn(turn, prefix + content);
    } else {
      AddTurn({turn.begin + prefix, turn.end, turn.trim}, content);
    }
  }

  void AddTurn(const ChatTurn& turn, std::string_view content) {
    out_ += turn.begin;
    out_ += turn.trim ? Trim(content) : content;
    out_ += turn.end;
  }

  const ChatFormat& format_;
  std::string out_;
  std::string for_user_;  // a system prompt that waits for the user turn it belongs to
};

}  // namespace

std::string_view ChatFormat::answer_begin() const {
  const std::string_view begin = assistant.begin;
  return begin.substr(0, begin.find_last_not_of(' ') + 1);
}

std::string RenderChat(const ChatFormat& format, std::span<const ChatMessage> messages,
                       bool add_generation_prompt) {
  Renderer renderer(format);
  if (!messages.empty() && messages.front().role == "system") {
    renderer.AddSystem(messages.front().content, format.preamble);
    messages = messages.subspan(1);
  } else if (!messages.empty() && !(format.default_system.empty() && format.preamble.empty())) {
    renderer.AddSystem(format.default_system, format.preamble);
  }
  for (const ChatMessage& message : messages) renderer.Add(message);
  return format.bos + renderer.Finish(add_generation_prompt);
}

std::string RenderNextTurns(const ChatFormat& format, std::span<const ChatMessage> next,
                            bool end_token_is_fed) {
  std::string_view end = format.assistant.end;
  // The end token is all of `end` but its white space.
  const std::string_view token = Trim(end);
  if (end_token_is_fed) end.remove_prefix(end.find(token) + token.size());
  Renderer renderer(format);
  for (const ChatMessage& message : next) renderer.Add(message);
  return std::string(end) + renderer.Finish(true);
}

}  // namespace spark
