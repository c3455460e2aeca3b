#include "eval/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "eval/task_generated.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr std::string_view kJsonl = "jsonl:";
constexpr size_t kDepths = 11;  // 0, 0.1, …, 1

struct GeneratedEntry {
  TaskEntry entry;
  MetricKind metric;
  MakeSample make;
};

constexpr std::array<GeneratedEntry, 9> kGenerated = {{
    {{"needle", "one fact among stories, at depths from 0 to 1"}, MetricKind::kRecall, MakeNeedle},
    {{"multikey", "one fact among others of its kind"}, MetricKind::kRecall, MakeMultikey},
    {{"multivalue", "all values of one key"}, MetricKind::kRecall, MakeMultivalue},
    {{"multiquery", "the values of several keys"}, MetricKind::kRecall, MakeMultiquery},
    {{"passkey", "one fact among the same few sentences"}, MetricKind::kRecall, MakePasskey},
    {{"vt", "variables that got their value from each other"},
     MetricKind::kRecall,
     MakeVariableTracking},
    {{"cwe", "the most common words of a list"}, MetricKind::kRecall, MakeCommonWords},
    {{"fwe", "the three most frequent of made-up words"}, MetricKind::kRecall, MakeFrequentWords},
    {{"fewshot", "the class of a text, by examples"}, MetricKind::kExact, MakeFewshot},
}};

constexpr auto kEntries = [] {
  std::array<TaskEntry, kGenerated.size() + 1> entries{};
  for (size_t i = 0; i < kGenerated.size(); ++i) entries[i] = kGenerated[i].entry;
  entries.back() = {"jsonl:FILE", "your own: context, question, answers; LongBench's and RULER's"};
  return entries;
}();

class GeneratedTask : public Task {
 public:
  explicit GeneratedTask(const GeneratedEntry& entry) : entry_(entry) {}

  std::string_view name() const override { return entry_.entry.name; }
  MetricKind metric() const override { return entry_.metric; }

  std::vector<Sample> Samples(const SampleRequest& request, const Model& model) const override {
    if (model.tokenizer() == nullptr) {
      throw Error(fmt::format("{}: the model has no tokenizer", name()));
    }
    std::vector<Sample> samples;
    for (size_t i = 0; i < request.n_samples; ++i) {
      SeededRandom random(request.seed, name(), i);
      samples.push_back(entry_.make({.task = name(),
                                     .tokenizer = *model.tokenizer(),
                                     .context_tokens = request.context_tokens,
                                     .depth = EvenDepth(i, request.n_samples),
                                     .stories_only = KnowsStoriesOnly(model)},
                                    random));
    }
    return samples;
  }

 private:
  const GeneratedEntry& entry_;
};

}  // namespace

double EvenDepth(size_t i, size_t n) {
  if (n == 1) return 0.5;
  // Few samples: spread from end to end; many: as many at each depth, or one more.
  const size_t tenth =
      n < kDepths ? (2 * i * (kDepths - 1) + n - 1) / (2 * (n - 1)) : i * kDepths / n;
  return static_cast<double>(tenth) / (kDepths - 1);
}

std::unique_ptr<Task> MakeTask(std::string_view name) {
  if (name.starts_with(kJsonl) && name.size() > kJsonl.size()) {
    return MakeJsonlTask(name, name.substr(kJsonl.size()));
  }
  for (const GeneratedEntry& generated : kGenerated) {
    if (generated.entry.name == name) return std::make_unique<GeneratedTask>(generated);
  }
  throw UsageError("no such task", {.field = "--task",
                                    .found = fmt::format("'{:.60}'", name),
                                    .allowed = fmt::format("{}", fmt::join(TaskNames(), ", "))});
}

std::span<const TaskEntry> ListTasks() { return kEntries; }

std::vector<std::string_view> TaskNames() {
  std::vector<std::string_view> names;
  names.reserve(kEntries.size());
  for (const TaskEntry& entry : kEntries) names.push_back(entry.name);
  return names;
}

bool KnowsStoriesOnly(const Model& model) {
  return model.info().arch == "llama" && model.info().name == "SparK Tiny";
}

}  // namespace spark
