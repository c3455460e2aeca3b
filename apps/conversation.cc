// --conversation: turns in, answers out, one cache.
#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "apps/console.h"
#include "apps/generate_task.h"
#include "spark/error.h"
#include "spark/prompt.h"

namespace spark {
namespace {

// How turns become text: as the chat format says, or, without one, as plain lines.
class TurnRenderer {
 public:
  explicit TurnRenderer(std::optional<ChatFormat> format) : format_(std::move(format)) {}

  std::string First(const std::string& system, const std::string& turn) const {
    if (!format_) return turn + "\n";
    const PromptParts parts = RenderChatPrompt(*format_, system, turn, "");
    return parts.context + parts.question;
  }

  // Follows an answer.
  std::string Next(const std::string& turn) const {
    if (!format_) return "\n" + turn + "\n";
    const ChatMessage message{"user", turn};
    return RenderNextTurns(*format_, std::span(&message, 1));
  }

 private:
  std::optional<ChatFormat> format_;
};

std::optional<std::string> AskForTurn() {
  if (StdinIsTerminal()) std::fputs("> ", stderr);
  return ReadStdinLine();
}

}  // namespace

void GenerateTask::Converse() {
  if (model_.tokenizer() == nullptr || flags_.prompt_ids) {
    throw UsageError("--conversation needs a model with a tokenizer, and no --prompt-ids");
  }
  const TurnRenderer renderer(SelectChatFormat(flags_, model_));
  std::optional<std::string> turn = flags_.has_prompt() ? ReadPromptText(flags_) : AskForTurn();
  if (!turn) return;  // nobody said anything
  const std::string system = SystemPrompt(flags_);
  Prefill(EncodeContext(*model_.tokenizer(), renderer.First(system, *turn)));
  while (true) {
    const Generation answer = Answer("");
    if (answer.stop_reason == StopReason::kInterrupted) return;
    if (answer.stop_reason == StopReason::kContextFull) {
      PrintMessage(fmt::format("the context of {} tokens is full", session_.context_size()));
      return;
    }
    turn = AskForTurn();
    if (InterruptRequested()) MarkInterrupted();
    if (!turn) return;
    // The last token that was drawn may not have been fed yet.
    std::vector<TokenId> ids(answer.ids.begin() + static_cast<std::ptrdiff_t>(answer.decode_steps),
                             answer.ids.end());
    history_.resize(history_.size() - ids.size());
    const std::vector<TokenId> next =
        model_.tokenizer()->Encode(renderer.Next(*turn), Tokenizer::Special::kParse);
    ids.insert(ids.end(), next.begin(), next.end());
    statistics_.question_tokens += next.size();
    Append(ids);
  }
}

}  // namespace spark
