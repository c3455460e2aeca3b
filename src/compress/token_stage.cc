// From scores to the tokens that stay.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/for_heads.h"
#include "compress/stage.h"

namespace spark {
namespace {

// The `n` tokens with the largest scores, ascending; of equal ones the later.
std::vector<uint32_t> Largest(const std::vector<float>& scores, size_t n) {
  std::vector<uint32_t> tokens(scores.size());
  std::iota(tokens.begin(), tokens.end(), uint32_t{0});
  const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(std::min(n, tokens.size()));
  std::partial_sort(tokens.begin(), end, tokens.end(), [&](uint32_t a, uint32_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a > b;
  });
  tokens.erase(end, tokens.end());
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

// One budget for all heads: what is not among a head's own safe tokens competes with the other
// heads' by score.
std::vector<std::vector<uint32_t>> SelectAcrossHeads(std::vector<std::vector<float>> scores,
                                                     const std::vector<size_t>& budgets,
                                                     double floor) {
  struct Entry {
    float score;
    uint32_t token;
    uint32_t head;
  };
  std::vector<Entry> entries;
  for (uint32_t h = 0; h < scores.size(); ++h) {
    const auto safe = static_cast<size_t>(static_cast<double>(budgets[h]) * floor + 1e-9);
    for (const uint32_t t : Largest(scores[h], safe)) scores[h][t] = kAlwaysKept;
    for (uint32_t t = 0; t < scores[h].size(); ++t) entries.push_back({scores[h][t], t, h});
  }
  const size_t total = std::accumulate(budgets.begin(), budgets.end(), size_t{0});
  const auto end = entries.begin() + static_cast<std::ptrdiff_t>(std::min(total, entries.size()));
  std::partial_sort(entries.begin(), end, entries.end(), [](const Entry& a, const Entry& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.token != b.token ? a.token > b.token : a.head < b.head;
  });
  std::vector<std::vector<uint32_t>> kept(scores.size());
  std::for_each(entries.begin(), end, [&](const Entry& e) { kept[e.head].push_back(e.token); });
  for (std::vector<uint32_t>& tokens : kept) std::sort(tokens.begin(), tokens.end());
  return kept;
}

}  // namespace

// As kvpress: int(n * (1 - ratio)); the nudge makes 10 * (1 - 0.9) keep 1.
size_t TokenBudget::Kept(size_t n) const {
  if (n_tokens > 0) return std::min(n_tokens, n);
  const auto kept = static_cast<size_t>(static_cast<double>(n) * (1 - ratio) + 1e-9);
  return std::min(std::max<size_t>(kept, 1), n);
}

size_t TokenStage::LayerBudget(size_t, size_t, size_t n_tokens) const {
  return std::max(budget_.Kept(n_tokens), std::min(always_kept(), n_tokens));
}

std::vector<std::vector<uint32_t>> SelectTokens(const TokenStage& stage, const LayerContext& layer,
                                                int threads) {
  const size_t n_heads = layer.heads.size();
  // Where heads share a budget in tokens, one that an earlier pass left few does not lower it.
  const bool shared = stage.budget().adaptive && stage.budget().n_tokens > 0;
  size_t longest = 0;
  for (const HeadContext& head : layer.heads) longest = std::max(longest, head.n_tokens);
  std::vector<size_t> budgets(n_heads);
  std::vector<std::vector<float>> scores(n_heads);
  ForHeads(n_heads, threads, [&](size_t h) {
    const size_t n = shared ? longest : layer.heads[h].n_tokens;
    budgets[h] = stage.LayerBudget(layer.layer, layer.n_layers, n);
    scores[h] = stage.Scores(layer, h);
    // Of a broken model; sorting needs numbers.
    for (float& score : scores[h]) score = std::isnan(score) ? -kAlwaysKept : score;
  });
  if (stage.budget().adaptive) return SelectAcrossHeads(scores, budgets, stage.budget().floor);
  std::vector<std::vector<uint32_t>> kept(n_heads);
  for (size_t h = 0; h < n_heads; ++h) kept[h] = Largest(scores[h], budgets[h]);
  return kept;
}

}  // namespace spark
