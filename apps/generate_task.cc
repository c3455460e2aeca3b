#include "apps/generate_task.h"

#include <fmt/format.h>

#include <optional>

#include "apps/console.h"
#include "spark/logits_file.h"
#include "spark/simd.h"

namespace spark {
namespace {

// The tokens whose logits --logits-out gets.
std::vector<TokenId> ScoredTokens(const Prompts& prompts) {
  if (prompts.questions.empty()) return prompts.context.ids;
  std::vector<TokenId> ids;
  for (const Piece& question : prompts.questions) {
    ids.insert(ids.end(), question.ids.begin(), question.ids.end());
  }
  return ids;
}

// What stands between two shown pieces: ids are separated by spaces, texts follow each other, and
// an answer in a chat starts on a line of its own.
std::string Joined(const std::string& text, const std::string& next, bool ids, bool chat) {
  if (text.empty() || next.empty()) return text + next;
  return text + (ids ? " " : chat ? "\n" : "") + next;
}

}  // namespace

GenerateTask::GenerateTask(const GenerateFlags& flags, const Model& model, double load_seconds)
    : flags_(flags), model_(model), session_(model, flags.session) {
  Describe(model.info(), statistics_);
  statistics_.backend = flags.session.backend;
  statistics_.simd_target = flags.session.backend == "cpu" ? CurrentSimdTarget() : "none";
  statistics_.kv = flags.session.plan.text();
  statistics_.seed = flags.generation.sampling.seed;
  statistics_.load_seconds = load_seconds;
  if (session_.context_size() > model.info().context_length) {
    PrintMessage(
        fmt::format("warning: the context size of {} exceeds the {} tokens that the model "
                    "was trained for",
                    session_.context_size(), model.info().context_length));
  }
}

void GenerateTask::Prefill(std::span<const TokenId> ids, const LogitsSink& sink) {
  ProgressLine progress("reading the context");
  session_.Prefill(
      ids, [&](size_t done, size_t total) { return progress.Update(done, total); }, sink);
  history_.assign(ids.begin(), ids.end());
}

void GenerateTask::Append(std::span<const TokenId> ids, const LogitsSink& sink) {
  if (ids.empty()) return;
  ProgressLine progress("reading");
  session_.Append(
      ids, [&](size_t done, size_t total) { return progress.Update(done, total); }, sink);
  history_.insert(history_.end(), ids.begin(), ids.end());
}

Generation GenerateTask::Answer(const std::string& echo) {
  if (flags_.generation.max_tokens > 0 && !flags_.no_display_prompt) WriteStdout(echo);
  bool separate = model_.tokenizer() == nullptr && !echo.empty() && !flags_.no_display_prompt;
  GenerationOptions options = flags_.generation;
  options.interrupted = InterruptRequested;
  Generation answer =
      Generate(session_, model_.tokenizer(), history_, options, [&](std::string_view text) {
        if (separate) WriteStdout(" ");
        separate = false;
        WriteStdout(text);
      });
  history_.insert(history_.end(), answer.ids.begin(), answer.ids.end());
  statistics_.generated_tokens += answer.ids.size();
  statistics_.decode_seconds += answer.decode_seconds;
  statistics_.decode_steps += answer.decode_steps;
  statistics_.stop_reason = Name(answer.stop_reason);
  if (flags_.generation.max_tokens > 0) WriteStdout("\n");
  return answer;
}

void GenerateTask::Run(const Prompts& prompts, const SavedContext* saved) {
  std::optional<LogitsFile> file;
  if (flags_.logits_out) {
    file.emplace(*flags_.logits_out, ScoredTokens(prompts), model_.info().vocab_size);
  }
  const LogitsSink sink = file ? file->sink() : LogitsSink();
  const bool ids = model_.tokenizer() == nullptr;
  if (saved != nullptr) {
    session_.LoadContext(*saved);
    history_ = saved->ids();
  } else {
    Prefill(prompts.context.ids, prompts.questions.empty() ? sink : LogitsSink());
  }
  if (flags_.save_cache) session_.SaveContext(*flags_.save_cache);

  std::string shown = prompts.context.shown;
  if (prompts.questions.empty()) Answer(shown + (prompts.chat ? "\n" : ""));
  for (const Piece& question : prompts.questions) {
    session_.Rewind();
    history_.resize(session_.context_tokens());
    Append(question.ids, sink);
    statistics_.question_tokens += question.ids.size();
    Answer(Joined(shown, question.shown, ids, false) + (prompts.chat ? "\n" : ""));
    shown.clear();  // the context is shown once
    if (interrupted()) return;
  }
  if (file) file->Finish();
}

Statistics GenerateTask::TakeStatistics() {
  statistics_.threads = session_.threads();
  statistics_.context_tokens = session_.context_tokens();
  statistics_.prefill_seconds = session_.times().prefill_seconds;
  statistics_.compress_seconds = session_.times().compress_seconds;
  statistics_.kv_bytes = session_.kv_bytes();
  statistics_.kv_bytes_dense_f16 = session_.kv_bytes_dense_f16();
  statistics_.peak_rss_bytes = PeakRssBytes();
  return statistics_;
}

}  // namespace spark
