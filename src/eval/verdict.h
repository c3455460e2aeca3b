// Which plan to take: the fewest bytes at a loss that can be borne.
#ifndef SPARK_EVAL_VERDICT_H_
#define SPARK_EVAL_VERDICT_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/record.h"

namespace spark {

// What a plan loses in one task against the uncompressed cache.
struct TaskLoss {
  std::string task;
  // nll: share of perplexity more (perplexity_loss). Others: the uncompressed cache's score less
  // the plan's; 0.01 is one point of a hundred. Negative is a gain.
  double loss = 0;
  double score = 0;     // perplexity for nll
  double baseline = 0;  // the same of the uncompressed cache; NaN if nll's was not measured
  size_t samples = 0;
};

// A plan with its cache types, and what it does at one context.
struct PlanResult {
  std::string kv;
  std::string cache_type_k;
  std::string cache_type_v;
  double kv_share = 0;                  // bytes, of dense f16
  double worst_loss = 0;                // the largest of `tasks`
  std::vector<TaskLoss> tasks;          // in the order of Verdict::tasks
  std::optional<double> speed_gain;     // decode tokens/s over the uncompressed cache's
  std::optional<double> speed_context;  // tokens in the cache when that was measured
};

// The best plan whose loss is below `limit` in every task that was measured at `context`.
struct Verdict {
  double limit = 0;                   // 0.01 for 1 %
  size_t context = 0;                 // 0: contexts as the data had them
  std::vector<std::string> tasks;     // every one of these was looked at
  std::vector<std::string> left_out;  // measured, but not on the uncompressed cache
  std::optional<PlanResult> best;     // fewest bytes, then least loss; empty: no plan qualifies
  std::optional<PlanResult> closest;  // if none does: the one of least loss that saves bytes
  size_t plans = 0;                   // how many were judged
  size_t incomplete = 0;              // and how many lack a task, because it failed or is to come
};

// One for every context, smallest first, and limit, in the given order. Only records that are "ok"
// count; the uncompressed cache itself (`none` in f16) is what plans are compared with, never the
// answer. Plans that save nothing (kv_share >= 1) are no answer either. Threads change speed and
// nothing else: speeds are compared at the largest number of threads and the deepest cache that
// both were measured at.
std::vector<Verdict> JudgePlans(std::span<const Record> records, std::span<const double> limits);

// For the report's page: members as above, NaN as null.
nlohmann::ordered_json ToJson(const Verdict& verdict);

}  // namespace spark

#endif  // SPARK_EVAL_VERDICT_H_
