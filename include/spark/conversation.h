// Turns of a user, answers of a model, one cache.
#ifndef SPARK_CONVERSATION_H_
#define SPARK_CONVERSATION_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spark/chat.h"
#include "spark/generation.h"
#include "spark/model.h"
#include "spark/session.h"

namespace spark {

struct ConversationOptions {
  std::optional<ChatFormat> format;  // without one, turns are plain lines
  std::string system;                // what the model is told first; empty: what the format says
  SessionOptions session;            // `compress_turns` is set by the conversation
};

// The first turn is the session's context. Each later one is appended to the cache: nothing is
// computed twice, and when a turn has been answered the plan compresses what is still dense of it.
// The model must outlive the conversation.
class Conversation {
 public:
  // Throws UsageError if the model has no tokenizer, and what Session throws.
  Conversation(const Model& model, ConversationOptions options);

  // Feeds a user's turn and generates the answer. One that `options.interrupted` or a length cut
  // off stays as it is, and the next turn goes on behind it.
  //
  // `progress` sees the turn being read. If it gives up on the first turn, Interrupted is thrown
  // and the conversation is empty as before; later turns are always read to their end, because the
  // cache could not be used after half a pass. Throws Error if the turn does not fit the context,
  // and is unchanged then.
  Generation Answer(std::string_view turn, const GenerationOptions& options, const TextSink& sink,
                    const Progress& progress = {});

  // A new conversation with the same options.
  void Clear();

  // System prompt (if one was given), turns and answers so far.
  std::span<const ChatMessage> messages() const { return messages_; }
  // The same as a JSON object a line: {"role": …, "content": …}.
  std::string Transcript() const;

  Session& session() { return session_; }
  // What the session has been fed, in order.
  std::span<const TokenId> ids() const { return ids_; }

 private:
  void Read(std::string_view turn, const Progress& progress);

  const Model& model_;
  ConversationOptions options_;
  Session session_;
  std::vector<ChatMessage> messages_;
  std::vector<TokenId> ids_;
  std::vector<TokenId> unfed_;  // the last token of an answer may have been drawn and not fed
};

}  // namespace spark

#endif  // SPARK_CONVERSATION_H_
