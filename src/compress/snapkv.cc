#include "compress/snapkv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/window_attention.h"

namespace spark {
namespace {

using Index = Eigen::Index;

// The mean of `kernel` values around each; beyond the ends stand zeros, which count.
Eigen::ArrayXf AveragePool(const Eigen::ArrayXf& values, size_t kernel) {
  const auto reach = static_cast<Index>(kernel / 2);
  Eigen::ArrayXf pooled(values.size());
  for (Index i = 0; i < values.size(); ++i) {
    const Index first = std::max<Index>(i - reach, 0);
    const Index end = std::min(i + reach + 1, values.size());
    pooled[i] = values.segment(first, end - first).sum() / static_cast<float>(kernel);
  }
  return pooled;
}

struct WindowOptions {
  size_t window, kernel;
};

WindowOptions ReadWindow(const StageOptions& options) {
  const WindowOptions read = {options.Size("window", 64, 1, 4096),
                              options.Size("kernel", 5, 1, 4095)};
  if (read.kernel % 2 == 0) {
    options.Fail("kernel", fmt::format("found '{}', allowed an odd number,", read.kernel));
  }
  return read;
}

}  // namespace

std::vector<float> SnapKvStage::Scores(const LayerContext& layer, size_t head) const {
  const HeadContext& context = layer.heads[head];
  std::vector<float> scores(context.n_tokens, kAlwaysKept);
  if (context.n_tokens <= window_ || context.window == 0) return scores;

  // Attention is taken over all tokens; what falls on the window itself is then left aside.
  const auto n = static_cast<Index>(context.n_tokens - window_);
  Eigen::ArrayXf sum = Eigen::ArrayXf::Zero(n);
  for (size_t g = 0; g < context.group; ++g) sum += AttentionSum(context, g, window_).head(n);
  const size_t n_queries = std::min(window_, context.window) * context.group;
  Eigen::Map<Eigen::ArrayXf>(scores.data(), n) =
      AveragePool(sum / static_cast<float>(n_queries), kernel_);
  return scores;
}

// A line from the first layer's budget down to the last one's, around the mean of all layers, as
// the paper's code and kvpress compute it, rounding included.
size_t PyramidKvStage::LayerBudget(size_t layer, size_t n_layers, size_t n_tokens) const {
  const auto window = static_cast<double>(this->window());
  const auto length = static_cast<double>(n_tokens);
  // With a budget in tokens a layer's share does not depend on what it holds: passes over generated
  // tokens find layers of different lengths, and shall find the same pyramid again.
  const bool fixed = budget().n_tokens > 0;
  const double mean =
      fixed ? static_cast<double>(budget().n_tokens) : length * (1 - budget().ratio);
  const double total = window + mean - window;  // rounds as there
  double least = total / static_cast<double>(beta_);
  double most = total * 2 - least;
  if (!fixed && most >= length - window) {
    most = length - window;
    least = total * 2 - most;
  }
  double kept = mean;  // the same for all layers, where no pyramid fits
  if (n_layers > 1 && (fixed || length >= most) && most >= least && least >= window) {
    kept = most - static_cast<double>(layer) * ((most - least) / static_cast<double>(n_layers - 1));
  }
  const auto rounded = static_cast<size_t>(std::nearbyint(kept));  // halves to even, as Python
  return std::min(std::max({rounded, always_kept(), size_t{1}}), n_tokens);
}

std::shared_ptr<const TokenStage> MakeSnapKvStage(const StageOptions& options) {
  const auto [window, kernel] = ReadWindow(options);
  return std::make_shared<SnapKvStage>(options.Budget(window), window, kernel);
}

std::shared_ptr<const TokenStage> MakePyramidKvStage(const StageOptions& options) {
  const auto [window, kernel] = ReadWindow(options);
  return std::make_shared<PyramidKvStage>(options.Budget(window), window, kernel,
                                          options.Size("beta", 20, 1, 1000000));
}

}  // namespace spark
