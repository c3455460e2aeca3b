#include "compress/value_pruning.h"

#include <algorithm>
#include <cmath>

#include "base/ranking.h"
#include "compress/channel_selection.h"

namespace spark {
namespace {

// Unbiased variance of n numbers, `stride` apart.
double Variance(const float* x, size_t n, size_t stride) {
  if (n < 2) return 0;
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i * stride];
  const double mean = sum / static_cast<double>(n);
  double squares = 0;
  for (size_t i = 0; i < n; ++i) squares += (x[i * stride] - mean) * (x[i * stride] - mean);
  return squares / static_cast<double>(n - 1);
}

float MeanOfPruned(const float* value, const uint8_t* mask, size_t dim, size_t n_kept) {
  float sum = 0;
  for (size_t j = 0; j < dim; ++j) sum += MaskBit(mask, j) ? 0.0f : value[j];
  return n_kept < dim ? sum / static_cast<float>(dim - n_kept) : 0.0f;
}

}  // namespace

ValueImportance::ValueImportance(const HeadContext& head)
    : values_(head.values), over_tokens_(head.head_dim), over_channels_(head.n_tokens) {
  const size_t dim = head.head_dim;
  for (size_t j = 0; j < dim; ++j) {
    over_tokens_[j] = Variance(values_ + j, head.n_tokens, dim);
  }
  for (size_t t = 0; t < head.n_tokens; ++t) {
    over_channels_[t] = Variance(values_ + t * dim, dim, 1);
  }
  // The largest sum of one from each is the sum of the largest.
  largest_ = (*std::max_element(over_tokens_.begin(), over_tokens_.end()) +
              *std::max_element(over_channels_.begin(), over_channels_.end())) /
             2;
}

float ValueImportance::operator()(size_t t, size_t j) const {
  const double d = (over_tokens_[j] + over_channels_[t]) / 2 / (largest_ + 1e-8);
  return static_cast<float>(0.7 * std::abs(values_[t * over_tokens_.size() + j]) + 0.3 * d);
}

SparseStore PackPrunedValues(const HeadContext& head, size_t first, size_t count, size_t n_kept,
                             Recovery fill) {
  const size_t dim = head.head_dim;
  const ValueImportance importance(head);
  const float* values = head.values + first * dim;
  std::vector<uint8_t> masks(count * MaskBytes(dim));
  std::vector<float> means(count);
  std::vector<uint64_t> ranked(dim);
  for (size_t t = 0; t < count; ++t) {
    uint8_t* mask = masks.data() + t * MaskBytes(dim);
    for (size_t j = 0; j < dim; ++j) ranked[j] = RankKey(importance(first + t, j), j);
    KeepLargest(ranked, n_kept, mask);
    means[t] = MeanOfPruned(values + t * dim, mask, dim, n_kept);
  }
  const SparseInput input{.rows = values,
                          .stride = dim,
                          .n_tokens = count,
                          .head_dim = dim,
                          .masks = masks.data(),
                          .scalars = means,
                          .fill = {}};
  return SparseStore::Pack(input, head.types.values, fill);
}

}  // namespace spark
