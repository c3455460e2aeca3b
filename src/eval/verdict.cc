#include "eval/verdict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace spark {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

size_t Count(const Record& record, std::string_view key) {
  const double value = Number(record, key).value_or(0);
  return value >= 1 && value < 1e15 ? static_cast<size_t>(value) : 0;
}

std::string Text(const Record& record, std::string_view key) {
  if (!record.is_object()) return "";
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

using PlanKey = std::tuple<std::string, std::string, std::string>;  // kv, types of keys and values

bool IsUncompressed(const PlanKey& key) {
  const auto& [kv, k, v] = key;
  return (kv == "none" || kv == "full") && k == "f16" && v == "f16";
}

// What was measured of a plan at one context.
struct Measured {
  PlanKey key;
  std::map<std::string, const Record*> tasks;  // quality; the last record of a task counts
  std::optional<double> kv_share;
};

// (threads, tokens in the cache) -> decode tokens/s
using Speeds = std::map<std::pair<size_t, double>, double>;

// Everything a sweep measured, sorted for judging. Plans stay in the order of the records.
struct Sorted {
  std::map<size_t, std::vector<Measured>> contexts;
  std::map<PlanKey, Speeds> speeds;                                        // of speed tasks
  std::map<std::tuple<PlanKey, size_t, std::string>, Speeds> side_speeds;  // of other tasks
};

Measured& Find(std::vector<Measured>& plans, const PlanKey& key) {
  const auto found = std::ranges::find(plans, key, &Measured::key);
  if (found != plans.end()) return *found;
  plans.push_back({key, {}, {}});
  return plans.back();
}

void AddSpeed(const Record& record, const PlanKey& key, size_t context, const std::string& task,
              Sorted& sorted) {
  const size_t threads = Count(record, "threads");
  const auto rows = record.find("speed");
  if (rows != record.end() && rows->is_array()) {
    for (const Record& row : *rows) {
      const auto depth = Number(row, "depth");
      const auto speed = Number(row, "decode_tokens_per_second");
      if (depth && speed) sorted.speeds[key][{threads, *depth}] = *speed;
    }
  } else if (const auto speed = Number(record, "decode_tokens_per_second")) {
    sorted.side_speeds[{key, context, task}][{threads, static_cast<double>(context)}] = *speed;
  }
}

Sorted Sort(std::span<const Record> records) {
  Sorted sorted;
  for (const Record& record : records) {
    if (Text(record, "status") != "ok") continue;
    const PlanKey key{Text(record, "kv"), Text(record, "cache_type_k"),
                      Text(record, "cache_type_v")};
    const std::string task = Text(record, "task");
    const size_t context = Count(record, "context");
    AddSpeed(record, key, context, task, sorted);
    if (!Number(record, "perplexity_loss") && (!Number(record, "score") || task == "nll")) continue;

    Measured& plan = Find(sorted.contexts[context], key);
    plan.tasks[task] = &record;
    // Tasks fill a context nearly, not exactly; nll does.
    const auto share = Number(record, "kv_share");
    if (share && (!plan.kv_share || task == "nll")) plan.kv_share = share;
  }
  return sorted;
}

// The loss of a task, or nothing if there is no uncompressed score to compare with.
std::optional<TaskLoss> Loss(const std::string& task, const Record& record,
                             const Record* baseline) {
  TaskLoss result{.task = task,
                  .loss = 0,
                  .score = Number(record, "score").value_or(kNaN),
                  .baseline = baseline ? Number(*baseline, "score").value_or(kNaN) : kNaN,
                  .samples = Count(record, "samples")};
  if (const auto loss = Number(record, "perplexity_loss")) {
    result.loss = *loss;
    result.score = Number(record, "perplexity").value_or(result.score);
    if (baseline) result.baseline = Number(*baseline, "perplexity").value_or(result.baseline);
    return result;
  }
  result.loss = result.baseline - result.score;
  return std::isnan(result.loss) ? std::nullopt : std::optional(result);
}

// The gain at the most threads, then the deepest cache, that both have.
void SetGain(const Speeds& plan, const Speeds& baseline, PlanResult& result) {
  for (auto fast = plan.rbegin(); fast != plan.rend(); ++fast) {
    const auto slow = baseline.find(fast->first);
    if (slow == baseline.end() || slow->second <= 0) continue;
    result.speed_gain = fast->second / slow->second;
    result.speed_context = fast->first.second;
    return;
  }
}

template <typename Map, typename Key>
const Speeds& SpeedsOf(const Map& map, const Key& key) {
  static const Speeds kNone;
  const auto found = map.find(key);
  return found == map.end() ? kNone : found->second;
}

void AddSpeedGain(const Sorted& sorted, size_t context, const PlanKey& key, const PlanKey& baseline,
                  PlanResult& result) {
  SetGain(SpeedsOf(sorted.speeds, key), SpeedsOf(sorted.speeds, baseline), result);
  for (const TaskLoss& loss : result.tasks) {
    if (result.speed_gain) return;
    SetGain(SpeedsOf(sorted.side_speeds, std::tuple(key, context, loss.task)),
            SpeedsOf(sorted.side_speeds, std::tuple(baseline, context, loss.task)), result);
  }
}

// What was measured at one context, before any limit.
struct Judged {
  std::vector<std::string> tasks;
  std::vector<std::string> left_out;
  std::vector<PlanResult> plans;
  size_t incomplete = 0;
};

Judged Judge(const Sorted& sorted, size_t context, const std::vector<Measured>& plans) {
  Judged judged;
  const auto baseline = std::ranges::find_if(plans, IsUncompressed, &Measured::key);
  const auto of_baseline = [&](const std::string& task) -> const Record* {
    if (baseline == plans.end()) return nullptr;
    const auto found = baseline->tasks.find(task);
    return found == baseline->tasks.end() ? nullptr : found->second;
  };

  std::map<std::string, bool> tasks;  // and whether losses can be told
  for (const Measured& plan : plans) {
    for (const auto& [task, record] : plan.tasks) {
      tasks[task] = tasks[task] || Loss(task, *record, of_baseline(task)).has_value();
    }
  }
  for (const auto& [task, judged_too] : tasks) {
    (judged_too ? judged.tasks : judged.left_out).push_back(task);
  }
  // Perplexity first: every sweep has it, and it is the least noisy.
  std::stable_partition(judged.tasks.begin(), judged.tasks.end(),
                        [](const auto& task) { return task == "nll"; });

  for (const Measured& plan : plans) {
    if (IsUncompressed(plan.key)) continue;
    PlanResult result;
    std::tie(result.kv, result.cache_type_k, result.cache_type_v) = plan.key;
    result.worst_loss = -std::numeric_limits<double>::infinity();
    for (const std::string& task : judged.tasks) {
      const auto found = plan.tasks.find(task);
      if (found == plan.tasks.end()) break;
      const auto loss = Loss(task, *found->second, of_baseline(task));
      if (!loss) break;
      result.worst_loss = std::max(result.worst_loss, loss->loss);
      result.tasks.push_back(*loss);
    }
    if (judged.tasks.empty()) continue;
    if (result.tasks.size() < judged.tasks.size() || !plan.kv_share) {
      ++judged.incomplete;
      continue;
    }
    result.kv_share = *plan.kv_share;
    if (baseline != plans.end()) {
      AddSpeedGain(sorted, context, plan.key, baseline->key, result);
    }
    judged.plans.push_back(std::move(result));
  }
  return judged;
}

Verdict Choose(const Judged& judged, size_t context, double limit) {
  Verdict verdict{.limit = limit,
                  .context = context,
                  .tasks = judged.tasks,
                  .left_out = judged.left_out,
                  .best = {},
                  .closest = {},
                  .plans = judged.plans.size(),
                  .incomplete = judged.incomplete};
  const auto by_bytes = [](const PlanResult& plan) {
    return std::pair(plan.kv_share, plan.worst_loss);
  };
  for (const PlanResult& plan : judged.plans) {
    if (plan.kv_share >= 1) continue;
    if (plan.worst_loss < limit && (!verdict.best || by_bytes(plan) < by_bytes(*verdict.best))) {
      verdict.best = plan;
    }
    if (!verdict.closest || plan.worst_loss < verdict.closest->worst_loss) verdict.closest = plan;
  }
  if (verdict.best) verdict.closest.reset();
  return verdict;
}

nlohmann::ordered_json OrNull(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return *value;
}

nlohmann::ordered_json ToJson(const std::optional<PlanResult>& plan) {
  if (!plan) return nullptr;
  auto tasks = nlohmann::ordered_json::array();
  for (const TaskLoss& loss : plan->tasks) {
    tasks.push_back({{"task", loss.task},
                     {"loss", OrNull(loss.loss)},
                     {"score", OrNull(loss.score)},
                     {"baseline", OrNull(loss.baseline)},
                     {"samples", loss.samples}});
  }
  return {{"kv", plan->kv},
          {"cache_type_k", plan->cache_type_k},
          {"cache_type_v", plan->cache_type_v},
          {"kv_share", OrNull(plan->kv_share)},
          {"worst_loss", OrNull(plan->worst_loss)},
          {"tasks", std::move(tasks)},
          {"speed_gain", OrNull(plan->speed_gain)},
          {"speed_context", OrNull(plan->speed_context)}};
}

}  // namespace

std::vector<Verdict> JudgePlans(std::span<const Record> records, std::span<const double> limits) {
  const Sorted sorted = Sort(records);
  std::vector<Verdict> verdicts;
  for (const auto& [context, plans] : sorted.contexts) {
    const Judged judged = Judge(sorted, context, plans);
    for (const double limit : limits) verdicts.push_back(Choose(judged, context, limit));
  }
  return verdicts;
}

nlohmann::ordered_json ToJson(const Verdict& verdict) {
  return {{"limit", verdict.limit},       {"context", verdict.context},
          {"tasks", verdict.tasks},       {"left_out", verdict.left_out},
          {"best", ToJson(verdict.best)}, {"closest", ToJson(verdict.closest)},
          {"plans", verdict.plans},       {"incomplete", verdict.incomplete}};
}

}  // namespace spark
