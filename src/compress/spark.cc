#include "compress/spark.h"

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cmath>

namespace spark {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Index = Eigen::Index;

}  // namespace

Segment DenseSegment(const HeadContext& head, size_t first, size_t count) {
  const auto pack = [&](DType type, const float* rows) {
    DenseStore store(type, head.head_dim);
    store.Reserve(count);
    store.Append(rows + first * head.head_dim, count, head.head_dim);
    return store;
  };
  return {pack(head.types.keys, head.keys), pack(head.types.values, head.values)};
}

std::vector<float> ChannelWeights(const HeadContext& head, WeightNorm norm) {
  const auto dim = static_cast<Index>(head.head_dim);
  const auto window = static_cast<Index>(head.window);
  const auto group = static_cast<Index>(head.group);
  const Eigen::Map<const Matrix> queries(head.queries, window * group, dim);

  std::vector<float> weights(head.head_dim);
  Eigen::Map<Eigen::RowVectorXf> w(weights.data(), dim);
  if (norm == WeightNorm::kRms) {
    w = (queries.colwise().squaredNorm() / static_cast<float>(window * group)).cwiseSqrt();
    return weights;
  }
  Matrix mean_query(window, dim);
  for (Index i = 0; i < window; ++i) {
    mean_query.row(i) = queries.middleRows(i * group, group).colwise().mean();
  }
  w = mean_query.colwise().norm();
  return weights;
}

float SelectChannels(const float* key, const std::vector<float>& weights, size_t n_kept,
                     uint8_t* mask) {
  const size_t dim = weights.size();
  // Contributions are not negative, so their bits order as they do: a 64-bit number sorts by
  // contribution first, then by the lower channel. No vector of pairs, no comparator.
  thread_local std::vector<uint64_t> ranked;
  ranked.resize(dim);
  for (size_t j = 0; j < dim; ++j) {
    const float contribution = key[j] * key[j] * weights[j];
    ranked[j] = (static_cast<uint64_t>(std::bit_cast<uint32_t>(contribution)) << 32) | (dim - j);
  }
  std::nth_element(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(n_kept - 1),
                   ranked.end(), std::greater<>());

  std::fill_n(mask, MaskBytes(dim), uint8_t{0});
  for (size_t i = 0; i < n_kept; ++i) {
    const size_t j = dim - static_cast<uint32_t>(ranked[i]);
    mask[j / 8] = static_cast<uint8_t>(mask[j / 8] | (1u << (j % 8)));
  }
  float pruned = 0;
  for (size_t i = n_kept; i < dim; ++i) {
    pruned += std::bit_cast<float>(static_cast<uint32_t>(ranked[i] >> 32));
  }
  return n_kept < dim ? std::sqrt(pruned / static_cast<float>(dim - n_kept)) : 0.0f;
}

std::vector<Segment> SparkStage::Compress(const HeadContext& head) const {
  const size_t n = head.n_tokens;
  const size_t sinks = head.begins ? std::min(options_.sinks, n) : 0;
  const size_t keep = head.ends ? std::min(options_.keep, n - sinks) : 0;
  const size_t pruned = n - sinks - keep;

  std::vector<Segment> segments;
  if (KeptChannels(options_.ratio, head.head_dim) == head.head_dim || pruned == 0) {
    segments.push_back(DenseSegment(head, 0, n));  // nothing to remove
    return segments;
  }
  if (sinks > 0) segments.push_back(DenseSegment(head, 0, sinks));
  segments.push_back(PackSparse(head, sinks, pruned));
  if (keep > 0) segments.push_back(DenseSegment(head, n - keep, keep));
  return segments;
}

Segment SparkStage::PackSparse(const HeadContext& head, size_t first, size_t count) const {
  const std::vector<float> weights = ChannelWeights(head, options_.weights);
  std::vector<float> inv_sqrt_w(head.head_dim);
  // The authors divide by zero here; a channel that no query uses recovers as 0 instead.
  std::transform(weights.begin(), weights.end(), inv_sqrt_w.begin(),
                 [](float w) { return w > 0 ? 1.0f / std::sqrt(w) : 0.0f; });

  const size_t n_kept = KeptChannels(options_.ratio, head.head_dim);
  const size_t mask_bytes = MaskBytes(head.head_dim);
  std::vector<uint8_t> masks(count * mask_bytes);
  std::vector<float> scalars(count);
  const float* keys = head.keys + first * head.head_dim;
  for (size_t t = 0; t < count; ++t) {
    scalars[t] =
        SelectChannels(keys + t * head.head_dim, weights, n_kept, masks.data() + t * mask_bytes);
  }
  const SparseInput input{.rows = keys,
                          .stride = head.head_dim,
                          .n_tokens = count,
                          .head_dim = head.head_dim,
                          .masks = masks.data(),
                          .scalars = scalars,
                          .fill = inv_sqrt_w};
  DenseStore values(head.types.values, head.head_dim);
  values.Reserve(count);
  values.Append(head.values + first * head.head_dim, count, head.head_dim);
  return {SparseStore::Pack(input, head.types.keys, options_.recovery), std::move(values)};
}

std::shared_ptr<const ChannelStage> MakeSparkStage(const StageOptions& options) {
  constexpr size_t kMostTokens = size_t{1} << 30;
  SparkOptions spark;
  spark.ratio = options.Ratio();
  spark.window = options.Size("window", spark.window, 1, 4096);
  spark.recovery =
      options.Choice("recovery", 0, {"mean", "zero"}) == 0 ? Recovery::kMean : Recovery::kZero;
  spark.keep = options.Size("keep", 0, 0, kMostTokens);
  spark.sinks = options.Size("sinks", 0, 0, kMostTokens);
  spark.weights =
      options.Choice("weights", 0, {"norm", "rms"}) == 0 ? WeightNorm::kNorm : WeightNorm::kRms;
  return std::make_shared<SparkStage>(spark);
}

}  // namespace spark
