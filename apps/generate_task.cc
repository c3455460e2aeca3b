#include "apps/generate_task.h"

#include <fmt/format.h>

#include <algorithm>
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

Statistics StartStatistics(const GenerateFlags& flags, const Model& model, double load_seconds) {
  Statistics statistics;
  Describe(model.info(), statistics);
  statistics.backend = flags.session.backend;
  statistics.simd_target = flags.session.backend == "cpu" ? CurrentSimdTarget() : "none";
  statistics.kv = flags.session.plan.text();
  statistics.seed = flags.generation.sampling.seed;
  statistics.load_seconds = load_seconds;
  if (flags.session.context_size > model.info().context_length) {
    PrintMessage(
        fmt::format("warning: the context size of {} exceeds the {} tokens that the model "
                    "was trained for",
                    flags.session.context_size, model.info().context_length));
  }
  const CompressionPlan& plan = flags.session.plan;
  const bool compresses = plan.token_stage() != nullptr || plan.channel_stage() != nullptr;
  if (compresses && !plan.compresses_windows() &&
      std::ranges::count(model.info().windows, 0) == 0) {
    PrintMessage(
        "warning: every layer has a sliding window, which plans leave alone: say "
        "layers=all in the brackets of a stage");
  }
  return statistics;
}

void AddMeasures(const Session& session, Statistics& statistics) {
  statistics.threads = session.threads();
  statistics.context_tokens = session.context_tokens();
  statistics.prefill_seconds = session.times().prefill_seconds;
  statistics.compress_seconds = session.times().compress_seconds;
  statistics.kv_bytes = session.kv_bytes();
  statistics.kv_bytes_dense_f16 = session.kv_bytes_dense_f16();
  statistics.peak_rss_bytes = PeakRssBytes();
}

GenerateTask::GenerateTask(const GenerateFlags& flags, const Model& model, Statistics statistics)
    : flags_(flags),
      model_(model),
      session_(model, flags.session),
      statistics_(std::move(statistics)) {}

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
  AddMeasures(session_, statistics_);
  return statistics_;
}

}  // namespace spark
