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
  std::string question;              // appended to the context; what the model completes
  std::vector<std::string> answers;  // what `metric` compares with
  size_t max_new_tokens = 16;        // room for the answer
  std::vector<std::string> stops;    // texts that end an answer, such as "\n"
  std::optional<double> depth;       // where the fact stands: 0 at the start, 1 at the end
};

// What a task is asked for.
struct SampleRequest {
  size_t n_samples = 0;
  size_t context_tokens = 0;  // at most, and nearly; 0: as the data is (jsonl)
  uint64_t seed = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string_view name() const = 0;  // as typed: "needle", "jsonl:FILE"
  virtual MetricKind metric() const = 0;

  // The same samples for the same request and model, whatever else runs. Throws Error if the
  // context is too short for the task or a file is wrong.
  virtual std::vector<Sample> Samples(const SampleRequest& request, const Model& model) const = 0;
};

// By name; throws UsageError that lists the names. Retrieval tasks only: `nll` and `speed` are the
// runner's.
std::unique_ptr<Task> MakeTask(std::string_view name);
std::vector<std::string_view> TaskNames();  // needle, multikey, …, jsonl:FILE

}  // namespace spark

#endif  // SPARK_EVAL_TASK_H_
