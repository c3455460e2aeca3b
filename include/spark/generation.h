// The loop that turns a session into text.
#ifndef SPARK_GENERATION_H_
#define SPARK_GENERATION_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spark/sampling.h"
#include "spark/session.h"
#include "spark/tokenizer.h"

namespace spark {

enum class StopReason : uint8_t {
  kEndOfText,    // the model ended its text
  kLength,       // as many tokens as were asked for
  kStopText,     // one of the stop texts came
  kContextFull,  // the session holds no further token
  kInterrupted,  // GenerationOptions::interrupted said so
};
std::string_view Name(StopReason reason);  // "end_of_text", …

struct GenerationOptions {
  size_t max_tokens = 128;
  SamplingOptions sampling;
  bool ignore_eos = false;            // tokens that end the text are never drawn
  std::vector<std::string> stops;     // texts that end it; they need a tokenizer
  std::function<bool()> interrupted;  // asked before every token; may be empty
};

struct Generation {
  std::vector<TokenId> ids;  // without the token that ended the text
  std::string text;          // all that `sink` got
  StopReason stop_reason = StopReason::kLength;
  double decode_seconds = 0;
  size_t decode_steps = 0;  // tokens that were fed back to the model in that time
};

// Receives text as soon as it can be shown: whole UTF-8 characters (bytes that can't become one
// pass through), and nothing that may be part of a stop text. May throw: generation ends with that.
using TextSink = std::function<void(std::string_view text)>;

// Generates from where `session` stands. `history`: what the session has been fed, for the repeat
// penalty. Without a tokenizer the text is the ids, separated by spaces. Tokens drawn are fed to
// the session, except the last one.
Generation Generate(Session& session, const Tokenizer* tokenizer, std::span<const TokenId> history,
                    const GenerationOptions& options, const TextSink& sink);

}  // namespace spark

#endif  // SPARK_GENERATION_H_
