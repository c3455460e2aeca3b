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

KeySegment DenseKeys(const HeadContext& head, size_t first, size_t count, DType type) {
  DenseStore store(type, head.head_dim);
  store.Reserve(count);
  store.Append(head.keys + first * head.head_dim, count, head.head_dim);
  return {std::move(store), first, count};
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

std::vector<KeySegment> SparkStage::Compress(const HeadContext& head, DType type) const {
  const size_t n = head.n_tokens;
  const size_t sinks = std::min(options_.sinks, n);
  const size_t keep = std::min(options_.keep, n - sinks);
  const size_t pruned = n - sinks - keep;

  std::vector<KeySegment> segments;
  if (KeptChannels(options_.ratio, head.head_dim) == head.head_dim || pruned == 0) {
    segments.push_back(DenseKeys(head, 0, n, type));  // nothing to remove
    return segments;
  }
  if (sinks > 0) segments.push_back(DenseKeys(head, 0, sinks, type));
  segments.push_back(PackSparse(head, sinks, pruned, type));
  if (keep > 0) segments.push_back(DenseKeys(head, n - keep, keep, type));
  return segments;
}

KeySegment SparkStage::PackSparse(const HeadContext& head, size_t first, size_t count,
                                  DType type) const {
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
  const SparseKeyInput input{.keys = keys,
                             .stride = head.head_dim,
                             .n_tokens = count,
                             .head_dim = head.head_dim,
                             .masks = masks.data(),
                             .n_kept = n_kept,
                             .scalars = scalars,
                             .inv_sqrt_w = inv_sqrt_w};
  return {SparseKeyStore::Pack(input, type, options_.recovery), first, count};
}

std::shared_ptr<const ChannelStage> MakeSparkStage(const StageOptions& options) {
  constexpr size_t kMostTokens = size_t{1} << 30;
  SparkOptions spark;
  spark.ratio = options.Ratio();
  spark.window = options.Size("window", spark.window, 1, 4096);
  const std::vector<std::string_view> recoveries = {"mean", "zero", "normal", "exponential"};
  const size_t recovery = options.Choice("recovery", 0, recoveries);
  if (recovery > 1) {
    options.Fail("recovery",
                 std::string(recoveries[recovery]) + " is not available yet, allowed mean, zero,");
  }
  spark.recovery = recovery == 0 ? Recovery::kMean : Recovery::kZero;
  spark.keep = options.Size("keep", 0, 0, kMostTokens);
  spark.sinks = options.Size("sinks", 0, 0, kMostTokens);
  spark.weights =
      options.Choice("weights", 0, {"norm", "rms"}) == 0 ? WeightNorm::kNorm : WeightNorm::kRms;
  return std::make_shared<SparkStage>(spark);
}

}  // namespace spark
