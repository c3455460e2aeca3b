#include "compress/spark.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>

#include "base/parts.h"
#include "base/ranking.h"
#include "compress/keep_largest.h"
#include "compress/value_pruning.h"

namespace spark {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Index = Eigen::Index;

// 1/sqrt(w[j]): what a scalar counts for in channel j. The authors divide by zero here; a channel
// that no query uses recovers as 0 instead.
std::vector<float> RecoveryFill(const std::vector<float>& weights) {
  std::vector<float> fill(weights.size());
  std::transform(weights.begin(), weights.end(), fill.begin(),
                 [](float w) { return w > 0 ? 1.0f / std::sqrt(w) : 0.0f; });
  return fill;
}

}  // namespace

DenseStore PackDense(DType type, const float* rows, size_t count, size_t dim) {
  DenseStore store(type, dim);
  store.Reserve(count);
  store.Append(rows, count, dim);
  return store;
}

Segment DenseSegment(const HeadContext& head, size_t first, size_t count) {
  const size_t at = first * head.head_dim;
  return {PackDense(head.types.keys, head.keys + at, count, head.head_dim),
          PackDense(head.types.values, head.values + at, count, head.head_dim)};
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

void RankChannels(const float* key, const std::vector<float>& weights, std::span<uint64_t> ranked) {
  for (size_t j = 0; j < ranked.size(); ++j) ranked[j] = RankKey(key[j] * key[j] * weights[j], j);
}

float SelectChannels(std::span<uint64_t> ranked, const ChannelBudget& budget, uint8_t* mask) {
  const size_t n_kept = budget.Kept(ranked);
  KeepLargest(ranked, n_kept, mask);
  if (n_kept == ranked.size()) return 0;
  float pruned = 0;
  for (size_t i = n_kept; i < ranked.size(); ++i) pruned += RankedValue(ranked[i]);
  return std::sqrt(pruned / static_cast<float>(ranked.size() - n_kept));
}

SparkStage::Parts SparkStage::Divide(const HeadContext& head) const {
  const size_t n = head.n_tokens;
  const size_t sinks = head.begins ? std::min(options_.sinks, n) : 0;
  const size_t keep = head.ends ? std::min(options_.keep, n - sinks) : 0;
  return {sinks, n - sinks - keep, keep};
}

std::optional<KeyPruning> SparkStage::OnDevice(const HeadContext& head) const {
  const Parts parts = Divide(head);
  const DType type = options_.key_type.value_or(head.types.keys);
  const size_t n_kept = KeptChannels(options_.ratio, head.head_dim);
  const bool plain = options_.rule == BudgetRule::kRatio && options_.recovery == Recovery::kMean &&
                     !options_.centre && !LayInLanes(type, n_kept, head.head_dim);
  if (!plain || !budget().Prunes(head.head_dim) || parts.pruned == 0 || head.window == 0) {
    return std::nullopt;
  }
  return KeyPruning{.first = parts.sinks,
                    .n_tokens = parts.pruned,
                    .n_kept = n_kept,
                    .rms = options_.weights == WeightNorm::kRms,
                    .type = type,
                    .window = head.window,
                    .group = head.group};
}

std::vector<Segment> SparkStage::Compress(const HeadContext& head) const {
  const size_t n = head.n_tokens;
  const auto [sinks, pruned, keep] = Divide(head);
  const bool changes = budget().Prunes(head.head_dim) || options_.key_type.has_value() ||
                       KeptChannels(options_.value_ratio, head.head_dim) < head.head_dim;

  std::vector<Segment> segments;
  if (!changes || pruned == 0) {
    segments.push_back(DenseSegment(head, 0, n));
    return segments;
  }
  if (sinks > 0) segments.push_back(DenseSegment(head, 0, sinks));
  segments.push_back({PackKeys(head, sinks, pruned), PackValues(head, sinks, pruned)});
  if (keep > 0) segments.push_back(DenseSegment(head, n - keep, keep));
  return segments;
}

// A kept channel's number is a byte in lanes and a bit of D in a mask: up to a quarter of the
// channels that is a byte for every 8 channels, in which decoding is twice as fast
// (docs/decisions.md).
bool SparkStage::LayInLanes(DType type, size_t n_kept, size_t head_dim) const {
  const bool possible = type == DType::kQ8_0 && options_.recovery == Recovery::kMean &&
                        options_.rule == BudgetRule::kRatio && LaneStore::CanPack(head_dim);
  if (!possible || options_.layout == KeyLayout::kMask) return false;
  return options_.layout == KeyLayout::kLanes || n_kept <= head_dim / 4;
}

KeyStore SparkStage::PackKeys(const HeadContext& head, size_t first, size_t count) const {
  if (head.packed_keys != nullptr) return std::move(*head.packed_keys);
  const size_t dim = head.head_dim;
  const float* keys = head.keys + first * dim;
  Matrix centred;
  Eigen::RowVectorXf centre;
  if (options_.centre) {
    const Eigen::Map<const Matrix> rows(keys, static_cast<Index>(count), static_cast<Index>(dim));
    centre = rows.colwise().mean();
    centred = rows.rowwise() - centre;
    keys = centred.data();
  }
  const DType type = options_.key_type.value_or(head.types.keys);
  const ChannelBudget budget = this->budget();
  if (!budget.Prunes(dim)) return PackDense(type, head.keys + first * dim, count, dim);

  const std::vector<float> weights = ChannelWeights(head, options_.weights);
  const std::vector<float> fill = RecoveryFill(weights);
  std::vector<uint8_t> masks(count * MaskBytes(dim));
  std::vector<float> scalars(count);
  std::vector<uint64_t> ranked(dim);
  std::vector<float> contributions;
  const bool same_number = budget.rule == BudgetRule::kRatio && dim <= kMostNumbers &&
                           options_.recovery != Recovery::kSampled;
  const size_t n_kept = KeptChannels(budget.ratio, dim);  // of rule kRatio
  if (same_number) {
    ForParts(count, kPartTokens, [&](size_t begin, size_t end) {
      std::array<float, kMostNumbers> row;
      for (size_t t = begin; t < end; ++t) {
        const float* key = keys + t * dim;
        for (size_t j = 0; j < dim; ++j) row[j] = key[j] * key[j] * weights[j];
        const float rest =
            KeepLargestOf(row.data(), dim, n_kept, masks.data() + t * MaskBytes(dim));
        scalars[t] = std::sqrt(rest / static_cast<float>(dim - n_kept));
      }
    });
  } else {
    for (size_t t = 0; t < count; ++t) {
      RankChannels(keys + t * dim, weights, ranked);
      if (options_.recovery == Recovery::kSampled) {
        for (const uint64_t key : ranked) contributions.push_back(RankedValue(key));
      }
      scalars[t] = SelectChannels(ranked, budget, masks.data() + t * MaskBytes(dim));
    }
  }
  const SampledInput samples{.options = options_.samples,
                             .layer = head.layer,
                             .head = head.head,
                             .first_token = first,
                             .contributions = contributions.data()};
  const SparseInput input{.rows = keys,
                          .stride = dim,
                          .n_tokens = count,
                          .head_dim = dim,
                          .masks = masks.data(),
                          .scalars = scalars,
                          .fill = fill,
                          .samples = &samples,
                          .centre = {centre.data(), static_cast<size_t>(centre.size())}};
  if (LayInLanes(type, n_kept, dim)) return LaneStore::Pack(input, n_kept);
  return SparseStore::Pack(input, type, options_.recovery);
}

ValueStore SparkStage::PackValues(const HeadContext& head, size_t first, size_t count) const {
  const size_t dim = head.head_dim;
  const size_t n_kept = KeptChannels(options_.value_ratio, dim);
  if (n_kept < dim) return PackPrunedValues(head, first, count, n_kept, options_.value_fill);
  return PackDense(head.types.values, head.values + first * dim, count, dim);
}

}  // namespace spark
