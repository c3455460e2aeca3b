#include "compress/expected_attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "compress/window_attention.h"

namespace spark {
namespace {

using Index = Eigen::Index;

// Elements (a, b) of a head that are pair i of a rotation:
//   a' = a cos - b sin, b' = a sin + b cos
std::pair<Index, Index> RotatedPair(const RopeAngles& angles, size_t i) {
  const size_t first = angles.interleaved ? 2 * i : i;
  return {static_cast<Index>(first),
          static_cast<Index>(angles.interleaved ? first + 1 : first + angles.dim / 2)};
}

// Queries as they were before RoPE; `angles` are those of their positions.
void UndoRope(const RopeAngles& angles, RowMatrix& queries) {
  const size_t pairs = angles.dim / 2;
  for (Index t = 0; t < queries.rows(); ++t) {
    const float* cos = angles.cos.data() + static_cast<size_t>(t) * pairs;
    const float* sin = angles.sin.data() + static_cast<size_t>(t) * pairs;
    for (size_t i = 0; i < pairs; ++i) {
      const auto [a, b] = RotatedPair(angles, i);
      const float x = queries(t, a);
      const float y = queries(t, b);
      queries(t, a) = x * cos[i] + y * sin[i];
      queries(t, b) = y * cos[i] - x * sin[i];
    }
  }
}

// The mean of the rotations of the next `future` positions, as a matrix.
RowMatrix MeanRotation(const LayerContext& layer, size_t head_dim, size_t future) {
  const RopeAngles angles =
      MakeRopeAngles(*layer.rope, layer.rope_frequencies, layer.next_position, future);
  const size_t pairs = angles.dim / 2;
  RowMatrix rotation =
      RowMatrix::Identity(static_cast<Index>(head_dim), static_cast<Index>(head_dim));
  for (size_t i = 0; i < pairs; ++i) {
    double cos = 0;
    double sin = 0;
    for (size_t t = 0; t < future; ++t) {
      cos += angles.cos[t * pairs + i];
      sin += angles.sin[t * pairs + i];
    }
    const auto [a, b] = RotatedPair(angles, i);
    rotation(a, a) = rotation(b, b) = static_cast<float>(cos / static_cast<double>(future));
    rotation(b, a) = static_cast<float>(sin / static_cast<double>(future));
    rotation(a, b) = -rotation(b, a);
  }
  return rotation;
}

// log E[exp(q k / sqrt(D))] for q ~ N(mean, covariance) of the rotated queries, for every key.
Eigen::ArrayXf ExpectedLogits(RowMatrix queries, const RowMatrix& rotation,
                              const Eigen::Ref<const RowMatrix>& keys) {
  if (queries.rows() == 0) return Eigen::ArrayXf::Zero(keys.rows());
  const Eigen::RowVectorXf mean = queries.colwise().mean();
  queries.rowwise() -= mean;
  const RowMatrix covariance = queries.transpose() * queries / static_cast<float>(queries.rows());
  const RowMatrix rotated = rotation * covariance * rotation.transpose();
  const auto dim = static_cast<float>(keys.cols());
  const Eigen::VectorXf linear = keys * (rotation * mean.transpose());
  const Eigen::VectorXf quadratic = (keys * rotated).cwiseProduct(keys).rowwise().sum();
  return linear.array() / std::sqrt(dim) + quadratic.array() / (2 * dim);
}

}  // namespace

std::vector<float> ExpectedAttentionStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  const size_t sinks = context.begins ? std::min(sinks_, context.n_tokens) : 0;
  std::vector<float> scores(context.n_tokens, kAlwaysKept);
  const auto n = static_cast<Index>(context.n_tokens - sinks);
  if (n == 0) return scores;

  const auto keys = HeadKeys(context).bottomRows(n);
  const RowMatrix rotation = MeanRotation(layer, context.head_dim, future_);
  const size_t first = layer.next_position - context.window;  // position of the first query
  const size_t skipped = std::min(context.window, sinks_ - std::min(first, sinks_));
  const size_t n_queries = context.window - skipped;
  const RopeAngles angles =
      MakeRopeAngles(*layer.rope, layer.rope_frequencies, first + skipped, n_queries);
  Eigen::ArrayXf sum = Eigen::ArrayXf::Zero(n);
  for (size_t g = 0; g < context.group; ++g) {
    RowMatrix queries = HeadQueries(context, g).bottomRows(static_cast<Index>(n_queries));
    UndoRope(angles, queries);
    const Eigen::ArrayXf logits = ExpectedLogits(std::move(queries), rotation, keys);
    const Eigen::ArrayXf weights = (logits - logits.maxCoeff()).exp();
    sum += weights / weights.sum();
  }
  const Eigen::ArrayXf norms = HeadValues(context).bottomRows(n).rowwise().norm().array();
  Eigen::Map<Eigen::ArrayXf>(scores.data() + sinks, n) =
      sum / static_cast<float>(context.group) * norms;
  return scores;
}

std::shared_ptr<const TokenStage> MakeExpectedAttentionStage(const StageOptions& options) {
  const size_t sinks = options.Size("sinks", 4, 0, 4096);
  return std::make_shared<ExpectedAttentionStage>(options.Budget(sinks),
                                                  options.Size("future", 512, 1, 65536), sinks);
}

}  // namespace spark
