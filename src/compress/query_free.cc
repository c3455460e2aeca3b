#include "compress/query_free.h"

#include <algorithm>
#include <numeric>

#include "compress/window_attention.h"

namespace spark {
namespace {

// SplitMix64's step (Steele, Lea, Flood 2014): a bijection that flips half of the bits.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

}  // namespace

std::vector<float> StreamingStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  std::vector<float> scores(context.n_tokens);
  std::iota(scores.begin(), scores.end(), 0.0f);
  const size_t sinks = context.begins ? std::min(sinks_, context.n_tokens) : 0;
  std::fill_n(scores.begin(), sinks, kAlwaysKept);
  return scores;
}

std::vector<float> KeyNormStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  std::vector<float> scores(context.n_tokens);
  Eigen::Map<Eigen::VectorXf>(scores.data(), static_cast<Eigen::Index>(scores.size())) =
      -HeadKeys(context).rowwise().norm();
  return scores;
}

std::vector<float> RandomStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  const uint64_t base = Mix(Mix(Mix(seed_) + layer.layer) + context.head);
  // Counted from the newest token: while nothing was removed yet these are the tokens' positions.
  const uint64_t first = layer.next_position - context.n_tokens;
  std::vector<float> scores(context.n_tokens);
  for (size_t t = 0; t < scores.size(); ++t) {
    scores[t] = static_cast<float>(Mix(base + first + t) >> 40);  // 24 bits: exact
  }
  return scores;
}

std::shared_ptr<const TokenStage> MakeStreamingStage(const StageOptions& options) {
  const size_t sinks = options.Size("sinks", 4, 0, 4096);
  return std::make_shared<StreamingStage>(options.Budget(sinks), sinks);
}

std::shared_ptr<const TokenStage> MakeKeyNormStage(const StageOptions& options) {
  return std::make_shared<KeyNormStage>(options.Budget());
}

std::shared_ptr<const TokenStage> MakeRandomStage(const StageOptions& options) {
  return std::make_shared<RandomStage>(options.Budget(), options.Size("seed", 1, 0, SIZE_MAX));
}

}  // namespace spark
