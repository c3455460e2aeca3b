// SparK's pruning of values (arXiv 2508.15212, spark.md §4): every token keeps the channels of its
// value that matter most; the others count as their mean, or as 0.
#ifndef SPARK_COMPRESS_VALUE_PRUNING_H_
#define SPARK_COMPRESS_VALUE_PRUNING_H_

#include <cstddef>
#include <vector>

#include "compress/stage.h"

namespace spark {

// 0.7 |v[t,j]| + 0.3 d[t,j] with d = (variance of channel j over tokens + variance of token t over
// channels) / 2, divided by its largest over the head. Unbiased variances; of one number: 0.
class ValueImportance {
 public:
  explicit ValueImportance(const HeadContext& head);

  float operator()(size_t t, size_t j) const;

 private:
  const float* values_;
  std::vector<double> over_tokens_;    // [head_dim]
  std::vector<double> over_channels_;  // [n_tokens]
  double largest_;                     // d before it is divided
};

// Values of tokens [first, first + count), `n_kept` channels each, judged among all of the head.
// fill: kConstant or kZero.
SparseStore PackPrunedValues(const HeadContext& head, size_t first, size_t count, size_t n_kept,
                             Recovery fill);

}  // namespace spark

#endif  // SPARK_COMPRESS_VALUE_PRUNING_H_
