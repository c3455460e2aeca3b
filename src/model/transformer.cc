#include "model/transformer.h"

#include <algorithm>
#include <cmath>

#include "model/rope.h"

namespace spark {
namespace {

// Collects the last `window.n` queries of a batch of `n_batch` tokens, tile by tile.
void KeepWindow(const std::vector<float>& q, size_t first, size_t n, size_t n_batch, size_t q_size,
                WindowQueries& window) {
  const size_t window_start = n_batch - window.n;
  for (size_t i = std::max(first, window_start); i < first + n; ++i) {
    std::copy_n(q.data() + (i - first) * q_size, q_size,
                window.q.data() + (i - window_start) * q_size);
  }
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, const Weights& weights, Backend& backend,
                         size_t batch_size)
    : config_(config),
      weights_(weights),
      backend_(backend),
      batch_size_(batch_size),
      rope_frequencies_(RopeFrequencies(config.rope, weights.rope_divisors)) {}

// Layer by layer, not tile by tile: when a layer has seen the whole batch its cache can be
// compressed at once, so at most one layer is ever dense.
std::vector<float> Transformer::Forward(std::span<const int32_t> ids, size_t first_position,
                                        KvCache& cache, LayerObserver* observer) {
  const size_t n_batch = ids.size();
  std::vector<float> x(n_batch * config_.hidden_size);
  backend_.Embed(weights_.token_embedding, ids, x.data());

  WindowQueries window;
  if (observer != nullptr) window.n = std::min(observer->window(), n_batch);
  window.q.resize(window.n * config_.q_size());

  std::vector<RopeAngles> angles;  // one a tile, shared by all layers
  for (size_t first = 0; first < n_batch; first += batch_size_) {
    const size_t n = std::min(batch_size_, n_batch - first);
    angles.push_back(MakeRopeAngles(config_.rope, rope_frequencies_, first_position + first, n));
  }

  for (size_t layer = 0; layer < config_.n_layers; ++layer) {
    const LayerWeights& w = weights_.layers[layer];
    for (size_t first = 0; first < n_batch; first += batch_size_) {
      const size_t n = std::min(batch_size_, n_batch - first);
      float* tile = x.data() + first * config_.hidden_size;
      AttentionBlock(w, angles[first / batch_size_], n, tile, cache.layers()[layer]);
      MlpBlock(w, n, tile);
      KeepWindow(q_, first, n, n_batch, config_.q_size(), window);
      if (observer != nullptr) observer->TileDone(layer, first + n);
    }
    if (observer != nullptr) observer->LayerDone(layer, cache.layers()[layer], window);
  }
  return x;
}

// x += Wo · attention(rope(Wq x̂), rope(Wk x̂), Wv x̂),  x̂ = rmsnorm(x)
void Transformer::AttentionBlock(const LayerWeights& w, const RopeAngles& angles, size_t n,
                                 float* x, LayerCache& cache) {
  normed_.resize(n * config_.hidden_size);
  q_.resize(n * config_.q_size());
  k_.resize(n * config_.kv_size());
  v_.resize(n * config_.kv_size());
  attended_.resize(n * config_.q_size());
  delta_.resize(n * config_.hidden_size);

  backend_.RmsNorm(x, n, w.attn_norm, config_.rms_norm_eps, normed_.data());
  backend_.MatMul(normed_.data(), n, w.wq, q_.data());
  backend_.MatMul(normed_.data(), n, w.wk, k_.data());
  backend_.MatMul(normed_.data(), n, w.wv, v_.data());
  backend_.Rope(q_.data(), n, config_.n_heads, config_.head_dim, angles);
  backend_.Rope(k_.data(), n, config_.n_kv_heads, config_.head_dim, angles);

  cache.Append(k_.data(), v_.data(), n);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  backend_.Attend(q_.data(), n, config_.n_heads, cache, {scale}, attended_.data());
  cache.Trim();

  backend_.MatMul(attended_.data(), n, w.wo, delta_.data());
  backend_.Add(x, delta_.data(), delta_.size());
}

// x += W_down · (silu(W_gate x̂) ⊙ W_up x̂),  x̂ = rmsnorm(x)
void Transformer::MlpBlock(const LayerWeights& w, size_t n, float* x) {
  normed_.resize(n * config_.hidden_size);
  gate_.resize(n * config_.intermediate_size);
  up_.resize(n * config_.intermediate_size);
  delta_.resize(n * config_.hidden_size);

  backend_.RmsNorm(x, n, w.ffn_norm, config_.rms_norm_eps, normed_.data());
  backend_.MatMul(normed_.data(), n, w.w_gate, gate_.data());
  backend_.MatMul(normed_.data(), n, w.w_up, up_.data());
  backend_.SwiGlu(gate_.data(), up_.data(), gate_.size());
  backend_.MatMul(gate_.data(), n, w.w_down, delta_.data());
  backend_.Add(x, delta_.data(), delta_.size());
}

void Transformer::Logits(const float* hidden, size_t n, float* logits) {
  normed_.resize(n * config_.hidden_size);
  backend_.RmsNorm(hidden, n, weights_.output_norm, config_.rms_norm_eps, normed_.data());
  backend_.MatMul(normed_.data(), n, weights_.output, logits);
}

}  // namespace spark
