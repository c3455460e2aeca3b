#include "eval/metric.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "eval/metric_text.h"
#include "eval/seeded_random.h"
#include "spark/error.h"
#include "text/unicode.h"

namespace spark {
namespace {

constexpr size_t kResamples = 10'000;
constexpr std::array<MetricKind, 5> kKinds = {MetricKind::kExact, MetricKind::kRecall,
                                              MetricKind::kF1, MetricKind::kRougeL,
                                              MetricKind::kEditSimilarity};

// 2 × common / (both sizes): the harmonic mean of precision and recall.
double Dice(size_t common, size_t size_a, size_t size_b) {
  return 2.0 * static_cast<double>(common) / static_cast<double>(size_a + size_b);
}

double Exact(std::string_view prediction, std::string_view answer) {
  return NormalizedWords(prediction) == NormalizedWords(answer) ? 1 : 0;
}

double TokenF1(std::string_view prediction, std::string_view answer) {
  const std::vector<std::string> said = NormalizedWords(prediction);
  const std::vector<std::string> right = NormalizedWords(answer);
  if (said.empty() || right.empty()) return said.empty() && right.empty() ? 1 : 0;
  std::map<std::string_view, size_t> left;
  for (const std::string& word : right) ++left[word];
  size_t common = 0;
  for (const std::string& word : said) {
    const auto found = left.find(word);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++common;
  }
  return Dice(common, said.size(), right.size());
}

double RougeL(std::string_view prediction, std::string_view answer) {
  const std::vector<std::string> said = LetterRuns(prediction);
  const std::vector<std::string> right = LetterRuns(answer);
  if (said.empty() || right.empty()) return 0;
  const size_t common = LongestCommonSubsequence<std::string>(said, right);
  return Dice(common, said.size(), right.size());
}

double EditSimilarity(std::string_view prediction, std::string_view answer) {
  const std::vector<uint32_t> said = CodePoints(FirstCodeLine(prediction));
  const std::vector<uint32_t> right = CodePoints(answer);
  if (said.empty() && right.empty()) return 1;
  return Dice(LongestCommonSubsequence<uint32_t>(said, right), said.size(), right.size());
}

double ShareHeld(std::string_view prediction, std::span<const std::string> answers) {
  const std::string said = Lowercase(prediction);
  const auto held = std::ranges::count_if(answers, [&said](const std::string& answer) {
    return said.find(Lowercase(answer)) != said.npos;
  });
  return static_cast<double>(held) / static_cast<double>(answers.size());
}

double ScoreOne(MetricKind kind, std::string_view prediction, std::string_view answer) {
  switch (kind) {
    case MetricKind::kExact:
      return Exact(prediction, answer);
    case MetricKind::kF1:
      return TokenF1(prediction, answer);
    case MetricKind::kRougeL:
      return RougeL(prediction, answer);
    case MetricKind::kEditSimilarity:
      return EditSimilarity(prediction, answer);
    case MetricKind::kRecall:
      break;  // not of a single answer
  }
  return 0;
}

double Mean(double sum, size_t n) { return sum / static_cast<double>(n); }

// The value that a share `part` / `of` of the sorted `values` lies below.
double Percentile(const std::vector<double>& values, size_t part, size_t of) {
  return values[(values.size() - 1) * part / of];
}

}  // namespace

std::string_view Name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kExact:
      return "exact";
    case MetricKind::kRecall:
      return "recall";
    case MetricKind::kF1:
      return "f1";
    case MetricKind::kRougeL:
      return "rouge_l";
    case MetricKind::kEditSimilarity:
      return "edit_similarity";
  }
  return "";
}

std::vector<std::string_view> MetricNames() {
  std::vector<std::string_view> names;
  names.reserve(kKinds.size());
  for (const MetricKind kind : kKinds) names.push_back(Name(kind));
  return names;
}

MetricKind ParseMetric(std::string_view name, std::string_view where) {
  const auto found =
      std::ranges::find_if(kKinds, [name](MetricKind kind) { return Name(kind) == name; });
  if (found != kKinds.end()) return *found;
  throw UsageError("no such metric",
                   {.field = std::string(where),
                    .found = fmt::format("'{:.40}'", name),
                    .allowed = fmt::format("{}", fmt::join(MetricNames(), ", "))});
}

double Score(MetricKind kind, std::string_view prediction, std::span<const std::string> answers) {
  if (answers.empty()) return 0;
  if (kind == MetricKind::kRecall) return ShareHeld(prediction, answers);
  double best = 0;
  for (const std::string& answer : answers) {
    best = std::max(best, ScoreOne(kind, prediction, answer));
  }
  return best;
}

Estimate MeanWithInterval(std::span<const double> values, uint64_t seed) {
  const size_t n = values.size();
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (n == 0) return {.mean = kNone, .low = kNone, .high = kNone, .n = 0};
  double sum = 0;
  for (const double value : values) sum += value;
  SeededRandom random(seed, "bootstrap", n);
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double resampled = 0;
    for (size_t i = 0; i < n; ++i) resampled += values[random.Below(n)];
    mean = Mean(resampled, n);
  }
  std::ranges::sort(means);
  return {.mean = Mean(sum, n),
          .low = Percentile(means, 25, 1000),
          .high = Percentile(means, 975, 1000),
          .n = n};
}

}  // namespace spark
