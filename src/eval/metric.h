// How an answer is scored, and figures with their spread.
#ifndef SPARK_EVAL_METRIC_H_
#define SPARK_EVAL_METRIC_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

// kExact: equal after SQuAD's normalisation (lower case; without punctuation, articles and extra
//   space).
// kRecall: RULER's string_match_all: the share of the answers that the prediction holds, in either
//   case.
// kF1: SQuAD's, and LongBench's qa_f1_score: of the words of the normalised texts, each counted as
//   often as it stands there. Two texts without words agree.
// kRougeL: ROUGE-L F1 as `rouge-score` computes it without stemming: the longest common subsequence
//   of words in lower case. A word is a run of letters and digits; `rouge-score` knows those of
//   ASCII only. LongBench uses another package, `rouge`, whose figures differ (it counts sets).
// kEditSimilarity: LongBench's code_sim_score: of the prediction's first line that is neither
//   comment nor fence, the ratio of fuzzywuzzy, rapidfuzz and Levenshtein, not rounded to
//   hundredths: 2 × longest common subsequence of characters / both lengths.
enum class MetricKind : uint8_t { kExact, kRecall, kF1, kRougeL, kEditSimilarity };

std::string_view Name(MetricKind kind);  // "exact", "recall", "f1", "rouge_l", "edit_similarity"
std::vector<std::string_view> MetricNames();

// Throws UsageError that lists the names; `where` names the flag or field in it.
MetricKind ParseMetric(std::string_view name, std::string_view where);

// In [0, 1]. kRecall: the share of `answers` that `prediction` holds; the others: the best over
// `answers`, as LongBench does it. Without answers 0. Any bytes may stand in the texts. Time grows
// with the product of the lengths for kRougeL and kEditSimilarity.
double Score(MetricKind kind, std::string_view prediction, std::span<const std::string> answers);

// A mean with its 95 % confidence interval. Without values all of it is NaN; of one value the
// interval is as unknown, and `low` and `high` are that value.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  size_t n = 0;
};
// Of values that need not be normal: percentiles 2.5 and 97.5 of the means of 10,000 samples drawn
// from `values` with replacement (bootstrap). The same seed and values give the same interval on
// every machine.
Estimate MeanWithInterval(std::span<const double> values, uint64_t seed);

}  // namespace spark

#endif  // SPARK_EVAL_METRIC_H_
