// One run of spark-generate: a context, then answers.
#ifndef APPS_GENERATE_TASK_H_
#define APPS_GENERATE_TASK_H_

#include <span>
#include <string>
#include <vector>

#include "apps/generate_flags.h"
#include "apps/generate_prompts.h"
#include "spark/generation.h"
#include "spark/model.h"
#include "spark/session.h"
#include "spark/statistics.h"

namespace spark {

// What is known of a run before it begins.
Statistics StartStatistics(const GenerateFlags& flags, const Model& model, double load_seconds);
// What a session has measured so far.
void AddMeasures(const Session& session, Statistics& statistics);

class GenerateTask {
 public:
  GenerateTask(const GenerateFlags& flags, const Model& model, Statistics statistics);

  // Evaluates the context, or starts with `saved` unless that is null; asks every question, prints
  // the answers.
  void Run(const Prompts& prompts, const SavedContext* saved);

  // Of what has been done so far; also after an interruption.
  Statistics TakeStatistics();
  void MarkInterrupted() { statistics_.stop_reason = Name(StopReason::kInterrupted); }
  bool interrupted() const { return statistics_.stop_reason == Name(StopReason::kInterrupted); }

 private:
  void Prefill(std::span<const TokenId> ids, const LogitsSink& sink = {});
  void Append(std::span<const TokenId> ids, const LogitsSink& sink = {});
  // Generates from where the session stands and prints it, `echo` first.
  Generation Answer(const std::string& echo);

  const GenerateFlags& flags_;
  const Model& model_;
  Session session_;
  Statistics statistics_;
  std::vector<TokenId> history_;  // what the session has been fed
};

}  // namespace spark

#endif  // APPS_GENERATE_TASK_H_
