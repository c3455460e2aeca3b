// How an answer is scored, and figures with their spread.
#ifndef SPARK_EVAL_METRIC_H_
#define SPARK_EVAL_METRIC_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace spark {

enum class MetricKind : uint8_t { kExact, kRecall, kF1, kRougeL, kEditSimilarity };

std::string_view Name(MetricKind kind);  // "exact", "recall", "f1", "rouge_l", "edit_similarity"

// In [0, 1]. kRecall: the share of `answers` that `prediction` holds; the others: the best over
// `answers`, as LongBench does it.
double Score(MetricKind kind, std::string_view prediction, std::span<const std::string> answers);

// A mean with its 95 % confidence interval.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  size_t n = 0;
};
// Of values that need not be normal: bootstrap with a fixed seed.
Estimate MeanWithInterval(std::span<const double> values, uint64_t seed);

}  // namespace spark

#endif  // SPARK_EVAL_METRIC_H_
