// From what a user wrote to what a model is fed.
#ifndef SPARK_PROMPT_H_
#define SPARK_PROMPT_H_

#include <string>
#include <string_view>
#include <vector>

#include "spark/chat.h"
#include "spark/tokenizer.h"

namespace spark {

// `context` is compressed, `question` stays dense behind it.
struct PromptParts {
  std::string context;
  std::string question;
};

// A conversation whose one user message is `prompt` + `question`, up to where the answer begins,
// cut right behind the prompt's text. Without a question all of it is context. `system` may be
// empty.
PromptParts RenderChatPrompt(const ChatFormat& format, std::string_view system,
                             std::string_view prompt, std::string_view question);

// The ids of a text that begins a session: special tokens are parsed, and the model's
// beginning-of-text token stands in front if the model asks for one, or if the text is empty.
std::vector<TokenId> EncodeContext(const Tokenizer& tokenizer, std::string_view text);

// "1,2,3", spaces allowed. Throws UsageError, naming `flag`.
std::vector<TokenId> ParseTokenIds(std::string_view text, const std::string& flag);

// \n \r \t \\ \' \" \0 and \xHH become the characters they stand for; other backslashes stay.
std::string ProcessEscapes(std::string_view text);

}  // namespace spark

#endif  // SPARK_PROMPT_H_
