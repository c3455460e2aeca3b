#include "compress/observed_attention.h"

#include <algorithm>

#include "compress/window_attention.h"

namespace spark {

std::vector<float> H2oStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  const size_t n = context.n_tokens;
  Eigen::ArrayXf sum = Eigen::ArrayXf::Zero(static_cast<Eigen::Index>(n));
  for (size_t g = 0; g < context.group; ++g) sum += AttentionSum(context, g, kAllQueries);
  std::vector<float> scores(n);
  for (size_t t = 0; t < n; ++t) {
    const size_t seen_by = std::max<size_t>(std::min(context.window, n - t) * context.group, 1);
    scores[t] = sum[static_cast<Eigen::Index>(t)] / static_cast<float>(seen_by);
  }
  return scores;
}

std::vector<float> TovaStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& own = layer.heads[head];
  // Scores are the same in all heads, so heads keep the same tokens. Only of a shared budget that
  // they do not divide may one keep a token more; then its numbers mean other tokens, and every
  // head goes by its own group.
  const bool aligned =
      std::all_of(layer.heads.begin(), layer.heads.end(),
                  [&](const HeadContext& h) { return h.n_tokens == own.n_tokens; });
  Eigen::ArrayXf sum = Eigen::ArrayXf::Zero(static_cast<Eigen::Index>(own.n_tokens));
  for (const HeadContext& other : layer.heads) {
    if (!aligned && other.head != own.head) continue;
    for (size_t g = 0; g < other.group; ++g) sum += AttentionSum(other, g, 1);
  }
  std::vector<float> scores(sum.begin(), sum.end());
  if (!scores.empty()) scores.back() = kAlwaysKept;
  return scores;
}

std::shared_ptr<const TokenStage> MakeH2oStage(const StageOptions& options) {
  return std::make_shared<H2oStage>(options.Budget());
}

std::shared_ptr<const TokenStage> MakeTovaStage(const StageOptions& options) {
  return std::make_shared<TovaStage>(options.Budget());
}

}  // namespace spark
