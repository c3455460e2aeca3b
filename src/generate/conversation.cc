#include "spark/conversation.h"

#include <nlohmann/json.hpp>

#include "spark/prompt.h"

namespace spark {
namespace {

ConversationOptions ForTurns(const Model& model, ConversationOptions options) {
  if (model.tokenizer() == nullptr) {
    throw UsageError("a conversation needs a model with a tokenizer");
  }
  options.session.compress_turns = true;
  options.session.keep_context = false;  // never rewound
  return options;
}

}  // namespace

Conversation::Conversation(const Model& model, ConversationOptions options)
    : model_(model),
      options_(ForTurns(model, std::move(options))),
      session_(model, options_.session) {
  Clear();
}

void Conversation::Clear() {
  if (session_.position() > 0 || !ids_.empty()) session_ = Session(model_, options_.session);
  messages_.clear();
  ids_.clear();
  unfed_.clear();
  if (!options_.system.empty()) messages_.push_back({"system", options_.system});
}

void Conversation::Read(std::string_view turn, const Progress& progress) {
  const std::optional<ChatFormat>& format = options_.format;
  const Tokenizer& tokenizer = *model_.tokenizer();
  const ChatMessage message{"user", std::string(turn)};
  if (session_.position() == 0) {
    std::vector<ChatMessage> all = messages_;
    all.push_back(message);
    ids_ =
        EncodeContext(tokenizer, format ? RenderChat(*format, all, true) : message.content + "\n");
    try {
      session_.Prefill(ids_, progress);
    } catch (...) {
      Clear();
      throw;
    }
  } else {
    const std::string text =
        format ? RenderNextTurns(*format, std::span(&message, 1)) : "\n" + message.content + "\n";
    std::vector<TokenId> ids = unfed_;
    const std::vector<TokenId> next = tokenizer.Encode(text, Tokenizer::Special::kParse);
    ids.insert(ids.end(), next.begin(), next.end());
    session_.Append(ids, [&](size_t done, size_t total) {
      if (progress) progress(done, total);
      return true;
    });
    unfed_.clear();
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }
  messages_.push_back(message);
}

Generation Conversation::Answer(std::string_view turn, const GenerationOptions& options,
                                const TextSink& sink, const Progress& progress) {
  Read(turn, progress);
  Generation answer = Generate(session_, model_.tokenizer(), ids_, options, sink);
  const auto fed = answer.ids.begin() + static_cast<std::ptrdiff_t>(answer.decode_steps);
  ids_.insert(ids_.end(), answer.ids.begin(), fed);
  unfed_.assign(fed, answer.ids.end());
  messages_.push_back({"assistant", answer.text});
  session_.CompressTail();
  return answer;
}

std::string Conversation::Transcript() const {
  std::string lines;
  for (const ChatMessage& message : messages_) {
    const nlohmann::ordered_json json = {{"role", message.role}, {"content", message.content}};
    // Answers may end inside a character.
    lines += json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace spark
