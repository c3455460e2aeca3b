#include "apps/conversation.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <string_view>

#include "apps/console.h"
#include "apps/generate_prompts.h"
#include "apps/generate_task.h"
#include "apps/turn_input.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr const char* kHelp =
    R"(A line is a turn. It goes on in the next line if it ends with \, and """ begins and ends a turn
of many lines. Ctrl-C stops an answer, Ctrl-D ends the conversation.
  /clear      begin a new conversation
  /stats      tokens, speed, and bytes of the cache
  /save FILE  write the conversation: a JSON object with role and content a line
  /help       this
  /quit       end the conversation
A line with a space in front of its / is a turn.
)";

// Answers to commands: not part of the text that stdout carries.
void Say(const std::string& text) { std::fputs(text.c_str(), stderr); }

ConversationOptions OptionsOf(const GenerateFlags& flags, const Model& model) {
  if (model.tokenizer() == nullptr || flags.prompt_ids) {
    throw UsageError("--conversation needs a model with a tokenizer, and no --prompt-ids");
  }
  return {.format = SelectChatFormat(flags, model),
          .system = SystemPrompt(flags),
          .session = flags.session};
}

}  // namespace

ConversationTask::ConversationTask(const GenerateFlags& flags, const Model& model,
                                   Statistics statistics)
    : flags_(flags),
      conversation_(model, OptionsOf(flags, model)),
      start_(std::move(statistics)),
      statistics_(start_) {}

void ConversationTask::Run() {
  if (StdinIsTerminal()) Say("/help lists the commands.\n");
  Converse();
  if (!InterruptRequested()) return;
  statistics_.stop_reason = Name(StopReason::kInterrupted);
  interrupted_ = true;
}

void ConversationTask::Converse() {
  if (flags_.has_prompt() && !AnswerOrReport(ReadPromptText(flags_))) return;
  const ReadLine read_line = [this](const std::string& prompt) { return editor_.Read(prompt); };
  while (const std::optional<TurnInput> input = ReadTurn(read_line)) {
    if (InterruptRequested()) break;  // in the middle of a turn
    if (!(input->is_command ? RunCommand(input->text) : AnswerOrReport(input->text))) return;
  }
}

// People go on after a turn that failed or was stopped; a script does not.
bool ConversationTask::AnswerOrReport(const std::string& turn) {
  const bool person = StdinIsTerminal();
  try {
    if (!Answer(turn) && !person) return false;
  } catch (const Interrupted&) {
    if (!person) return false;
    Say("The turn was not read.\n");
  } catch (const Error& error) {
    if (!person) throw;
    PrintMessage(error.what());
  }
  ForgetInterrupt();
  return true;
}

bool ConversationTask::Answer(const std::string& turn) {
  GenerationOptions options = flags_.generation;
  options.interrupted = InterruptRequested;
  std::optional<ProgressLine> progress("reading");
  const Generation answer = conversation_.Answer(
      turn, options,
      [&](std::string_view text) {
        progress.reset();
        WriteStdout(text);
      },
      [&](size_t done, size_t total) { return progress->Update(done, total); });
  progress.reset();
  if (options.max_tokens > 0) WriteStdout("\n");
  statistics_.generated_tokens += answer.ids.size();
  statistics_.decode_seconds += answer.decode_seconds;
  statistics_.decode_steps += answer.decode_steps;
  statistics_.stop_reason = Name(answer.stop_reason);
  // All that has been fed or drawn is the first turn, an answer, or a later turn.
  const Session& session = conversation_.session();
  statistics_.question_tokens = session.position() + answer.ids.size() - answer.decode_steps -
                                session.context_tokens() - statistics_.generated_tokens;
  if (answer.stop_reason == StopReason::kContextFull) {
    PrintMessage(fmt::format("the context of {} tokens is full", session.context_size()));
  }
  if (answer.stop_reason == StopReason::kLength && StdinIsTerminal()) {
    Say(fmt::format("[{} tokens: -n]\n", answer.ids.size()));
  }
  return answer.stop_reason != StopReason::kInterrupted &&
         answer.stop_reason != StopReason::kContextFull;
}

bool ConversationTask::RunCommand(const std::string& line) {
  const std::string name = line.substr(0, line.find(' '));
  const size_t rest = line.find_first_not_of(' ', name.size());
  const std::string argument = rest == std::string::npos ? "" : line.substr(rest);
  if (name == "/quit") return false;
  if (name == "/help") {
    Say(kHelp);
  } else if (name == "/stats") {
    Say(ToText(TakeStatistics()));
  } else if (name == "/save") {
    Save(argument);
  } else if (name == "/clear") {
    conversation_.Clear();
    statistics_ = start_;
    Say("A new conversation.\n");
  } else {
    Say(name + ": no such command, see /help. A turn that begins with / needs a space in front.\n");
  }
  return true;
}

void ConversationTask::Save(const std::string& path) const {
  if (path.empty()) return Say("/save needs the name of a file.\n");
  std::ofstream file(path, std::ios::binary);
  file << conversation_.Transcript() << std::flush;
  Say(file.good() ? fmt::format("Saved {} messages.\n", conversation_.messages().size())
                  : fmt::format("{}: cannot be written.\n", path));
}

Statistics ConversationTask::TakeStatistics() {
  AddMeasures(conversation_.session(), statistics_);
  return statistics_;
}

}  // namespace spark
