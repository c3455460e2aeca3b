// What spark-generate feeds to the model.
#ifndef APPS_GENERATE_PROMPTS_H_
#define APPS_GENERATE_PROMPTS_H_

#include <optional>
#include <string>
#include <vector>

#include "apps/generate_flags.h"
#include "spark/chat.h"
#include "spark/model.h"
#include "spark/saved_context.h"

namespace spark {

// A piece of input: as the user knows it, and as the model does.
struct Piece {
  std::string shown;
  std::vector<TokenId> ids;
};

struct Prompts {
  Piece context;
  std::vector<Piece> questions;
  bool chat =
      false;  // answers do not continue the shown text, so they start on a line of their own
};

// The chat format to use: the one asked for, or the model's if chat was asked for without naming
// one. Nothing: text is taken as it is.
std::optional<ChatFormat> SelectChatFormat(const GenerateFlags& flags, const Model& model);

// Reads files and stdin as the flags say. Throws Error.
std::string ReadPromptText(const GenerateFlags& flags);
std::string SystemPrompt(const GenerateFlags& flags);  // empty if there is none
// `saved`: the context that a session will begin with, or null. A prompt that is given beside it
// has to be the same.
Prompts PreparePrompts(const GenerateFlags& flags, const Model& model,
                       const SavedContext* saved = nullptr);

// --render-chat: the prompt and its question as the model would see them.
std::string RenderedChat(const GenerateFlags& flags, const Model& model);

// The ids as text for people; without a tokenizer the numbers themselves.
std::string ShowIds(const Tokenizer* tokenizer, const std::vector<TokenId>& ids);

}  // namespace spark

#endif  // APPS_GENERATE_PROMPTS_H_
