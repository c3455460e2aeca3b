#include "compress/think.h"

#include <Eigen/Core>
#include <algorithm>
#include <numeric>

namespace spark {

std::vector<uint16_t> ThinkChannels(const HeadContext& head, size_t n_kept) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto dim = static_cast<Eigen::Index>(head.head_dim);
  const Eigen::Map<const Rows> queries(head.queries,
                                       static_cast<Eigen::Index>(head.window * head.group), dim);
  const Eigen::Map<const Rows> keys(head.keys, static_cast<Eigen::Index>(head.n_tokens), dim);
  const Eigen::RowVectorXf energy =
      queries.cwiseAbs2().colwise().mean().cwiseProduct(keys.cwiseAbs2().colwise().mean());

  std::vector<uint16_t> channels(head.head_dim);
  std::iota(channels.begin(), channels.end(), uint16_t{0});
  std::stable_sort(channels.begin(), channels.end(),
                   [&](uint16_t a, uint16_t b) { return energy[a] > energy[b]; });
  channels.resize(n_kept);
  channels.shrink_to_fit();
  std::sort(channels.begin(), channels.end());
  return channels;
}

std::vector<Segment> ThinkStage::Compress(const HeadContext& head) const {
  std::vector<Segment> segments;
  segments.push_back(DenseSegment(head, 0, head.n_tokens));
  const size_t n_kept = KeptChannels(ratio_, head.head_dim);
  if (n_kept == head.head_dim) return segments;
  DroppedKeyStore store(ThinkChannels(head, n_kept), head.types.keys, head.head_dim);
  store.Append(head.keys, head.n_tokens, head.head_dim);
  segments.front().keys = std::move(store);
  return segments;
}

std::shared_ptr<const ChannelStage> MakeThinkStage(const StageOptions& options) {
  return std::make_shared<ThinkStage>(options.Ratio(), options.Size("window", 32, 1, 4096));
}

}  // namespace spark
