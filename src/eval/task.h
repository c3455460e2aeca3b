// What a sweep measures answers on: contexts that are compressed before the question is known.
#ifndef SPARK_EVAL_TASK_H_
#define SPARK_EVAL_TASK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/metric.h"
#include "spark/model.h"

namespace spark {

// One question about one context, as text.
struct Sample {
  std::string context;
  std::string question;  // appended to the context as it is; the model completes it. May be empty
  std::vector<std::string> answers;  // what `metric` compares with
  size_t max_new_tokens = 16;        // room for the answer
  std::vector<std::string> stops;    // texts that end an answer, such as "\n"
  std::optional<double> depth;       // where the fact stands: 0 at the start, 1 at the end
};

// What a task is asked for.
struct SampleRequest {
  size_t n_samples = 0;       // jsonl: 0 is all lines, and there may be fewer
  size_t context_tokens = 0;  // at most, and nearly; 0: as the data is (jsonl)
  uint64_t seed = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string_view name() const = 0;  // as typed: "needle", "jsonl:FILE"
  virtual MetricKind metric() const = 0;

  // The same samples for the same request and tokenizer, on every machine, whatever else runs.
  // Contexts have at most context_tokens tokens (EncodeContext), the question not counted. Throws
  // Error if that is too short for the task or the model has no tokenizer.
  virtual std::vector<Sample> Samples(const SampleRequest& request, const Model& model) const = 0;
};

// By name; throws UsageError that lists the names. Retrieval tasks only: `nll` and `speed` are the
// runner's. A file is read here: throws Error, naming file and line, if it is wrong.
std::unique_ptr<Task> MakeTask(std::string_view name);

// What there is, for --help and the documentation.
struct TaskEntry {
  std::string_view name;     // "needle", …, "jsonl:FILE"
  std::string_view summary;  // what the context holds and what is asked
};
std::span<const TaskEntry> ListTasks();
std::vector<std::string_view> TaskNames();

// Whether this is the model that is part of the library, or a later training of it: it knows only
// the sentences of data/train, and gets its questions in them.
bool KnowsStoriesOnly(const Model& model);

}  // namespace spark

#endif  // SPARK_EVAL_TASK_H_
