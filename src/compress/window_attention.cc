#include "compress/window_attention.h"

#include <algorithm>
#include <cmath>

namespace spark {
namespace {

using Index = Eigen::Index;

// Scores in place become weights; query i sees tokens [0, seen + i).
void CausalSoftmax(Index seen, RowMatrix& scores) {
  for (Index i = 0; i < scores.rows(); ++i) {
    auto row = scores.row(i).head(seen + i).array();
    row = (row - row.maxCoeff()).exp();
    row /= row.sum();
    scores.row(i).tail(scores.cols() - seen - i).setZero();
  }
}

}  // namespace

Eigen::Map<const RowMatrix> HeadKeys(const HeadContext& head) {
  return {head.keys, static_cast<Index>(head.n_tokens), static_cast<Index>(head.head_dim)};
}

Eigen::Map<const RowMatrix> HeadValues(const HeadContext& head) {
  return {head.values, static_cast<Index>(head.n_tokens), static_cast<Index>(head.head_dim)};
}

Eigen::Map<const RowMatrix, 0, Eigen::OuterStride<>> HeadQueries(const HeadContext& head,
                                                                 size_t member) {
  return {head.queries + member * head.head_dim, static_cast<Index>(head.window),
          static_cast<Index>(head.head_dim),
          Eigen::OuterStride<>(static_cast<Index>(head.group * head.head_dim))};
}

Eigen::ArrayXf AttentionSum(const HeadContext& head, size_t member, size_t n_queries) {
  constexpr Index kBlock = 64;  // queries whose weights are held at a time
  const auto keys = HeadKeys(head);
  const auto queries = HeadQueries(head, member);
  const float scale = 1 / std::sqrt(static_cast<float>(head.head_dim));
  const auto n = static_cast<Index>(std::min({n_queries, head.window, head.n_tokens}));

  Eigen::ArrayXf sum = Eigen::ArrayXf::Zero(keys.rows());
  for (Index first = 0; first < n; first += kBlock) {
    const Index count = std::min(kBlock, n - first);
    const Index seen = keys.rows() - n + first + 1;  // by the block's first query
    RowMatrix weights = scale * queries.middleRows(queries.rows() - n + first, count) *
                        keys.topRows(seen + count - 1).transpose();
    CausalSoftmax(seen, weights);
    sum.head(weights.cols()) += weights.colwise().sum().transpose().array();
  }
  return sum;
}

}  // namespace spark
