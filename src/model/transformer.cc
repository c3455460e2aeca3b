#include "model/transformer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/rope.h"

namespace spark {
namespace {

// Up to this many tokens the operations of a layer are so short that threads should not sleep
// between them.
constexpr size_t kFewTokens = 8;

// Collects the last `window.n` queries of a batch of `n_batch` tokens, tile by tile.
void KeepWindow(Activations& q, size_t first, size_t n, size_t n_batch, size_t q_size,
                WindowQueries& window) {
  const size_t window_start = n_batch - window.n;
  const size_t from = std::max(first, window_start);
  if (from >= first + n) return;
  const size_t count = (first + n - from) * q_size;
  std::copy_n(q.OnHost((from - first) * q_size, count), count,
              window.q.data() + (from - window_start) * q_size);
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, const Weights& weights, Backend& backend,
                         size_t batch_size)
    : config_(config),
      weights_(weights),
      backend_(backend),
      batch_size_(batch_size),
      attention_scale_(config.attention_scale > 0
                           ? config.attention_scale
                           : 1.0f / std::sqrt(static_cast<float>(config.head_dim))),
      global_frequencies_(RopeFrequencies(config.rope, weights.rope_divisors)),
      local_frequencies_(RopeFrequencies(config.local_rope, {})),
      no_frequencies_(global_frequencies_.size(), 0.0f),
      normed_(backend),
      q_(backend),
      k_(backend),
      v_(backend),
      attended_(backend),
      gate_(backend),
      up_(backend),
      delta_(backend),
      logits_(backend) {}

const RopeConfig& Transformer::rope(size_t layer) const {
  return config_.layers[layer].rope == LayerConfig::Rope::kLocal ? config_.local_rope
                                                                 : config_.rope;
}

std::span<const float> Transformer::rope_frequencies(size_t layer) const {
  switch (config_.layers[layer].rope) {
    case LayerConfig::Rope::kGlobal:
      return global_frequencies_;
    case LayerConfig::Rope::kLocal:
      return local_frequencies_;
    case LayerConfig::Rope::kNone:
      break;
  }
  return no_frequencies_;
}

const RopeAngles* Transformer::TileAngles::Of(LayerConfig::Rope kind) const {
  if (kind == LayerConfig::Rope::kNone) return nullptr;
  return kind == LayerConfig::Rope::kLocal ? &local : &global;
}

// The rotations of every tile of a batch, shared by all layers.
std::vector<Transformer::TileAngles> Transformer::MakeAngles(size_t first_position,
                                                             size_t n_batch) const {
  const bool has_local = std::ranges::any_of(
      config_.layers, [](const auto& layer) { return layer.rope == LayerConfig::Rope::kLocal; });
  std::vector<TileAngles> tiles;
  for (size_t first = 0; first < n_batch; first += batch_size_) {
    const size_t n = std::min(batch_size_, n_batch - first);
    TileAngles& tile = tiles.emplace_back();
    tile.global = MakeRopeAngles(config_.rope, global_frequencies_, first_position + first, n);
    if (has_local) {
      tile.local =
          MakeRopeAngles(config_.local_rope, local_frequencies_, first_position + first, n);
    }
  }
  return tiles;
}

// Layer by layer, not tile by tile: when a layer has seen the whole batch its cache can be
// compressed at once, so at most one layer is ever dense.
Activations Transformer::Forward(std::span<const int32_t> ids, size_t first_position,
                                 KvCache& cache, LayerObserver* observer) {
  Batch batch{.n = ids.size(),
              .angles = MakeAngles(first_position, ids.size()),
              .x = Activations(backend_)};
  batch.x.Resize(batch.n * config_.hidden_size);
  if (observer != nullptr) batch.window.n = std::min(observer->window(), batch.n);
  batch.window.q.resize(batch.window.n * config_.q_size());

  backend_.Embed(weights_.token_embedding, ids, batch.x.data());
  if (config_.embedding_scale != 1) {
    backend_.Scale(batch.x.data(), config_.embedding_scale, batch.x.size());
  }
  const auto run = [&] {
    for (size_t layer = 0; layer < config_.n_layers; ++layer) {
      RunLayer(layer, cache, observer, batch);
    }
  };
  if (batch.n <= kFewTokens && (observer == nullptr || !observer->rebuilds())) {
    backend_.Together(run);
  } else {
    run();
  }
  return std::move(batch.x);
}

void Transformer::RunLayer(size_t layer, KvCache& cache, LayerObserver* observer, Batch& batch) {
  const LayerWeights& w = weights_.layers[layer];
  const LayerConfig::Rope rope = config_.layers[layer].rope;
  for (size_t first = 0; first < batch.n; first += batch_size_) {
    const size_t n = std::min(batch_size_, batch.n - first);
    float* tile = batch.x.data() + first * config_.hidden_size;
    AttentionBlock(w, batch.angles[first / batch_size_].Of(rope), n, tile, cache.layers()[layer]);
    MlpBlock(w, n, tile);
    KeepWindow(q_, first, n, batch.n, config_.q_size(), batch.window);
    if (observer != nullptr) observer->TileDone(layer, first + n);
  }
  if (observer != nullptr) observer->LayerDone(layer, cache.layers()[layer], batch.window);
}

// x += norm₂(Wo a + bo),  a = attention(rope(norm(Wq x̂ + bq)), rope(norm(Wk x̂ + bk)), Wv x̂ + bv),
// x̂ = norm₁(x); biases, norms and rotations as far as the architecture has them.
void Transformer::AttentionBlock(const LayerWeights& w, const RopeAngles* angles, size_t n,
                                 float* x, LayerCache& cache) {
  attended_.Resize(n * config_.q_size());

  const float* normed = PreNorm(x, n, w.attn_norm);
  Project(normed, n, {{w.wq, w.bq, q_}, {w.wk, w.bk, k_}, {w.wv, w.bv, v_}});
  NormInPlace(w.q_norm, q_);
  NormInPlace(w.k_norm, k_);
  if (angles != nullptr) {
    backend_.Rope(q_.data(), n, config_.n_heads, config_.head_dim, *angles);
    backend_.Rope(k_.data(), n, config_.n_kv_heads, config_.head_dim, *angles);
  }

  cache.Append(k_.OnHost(), v_.OnHost(), n);
  backend_.Attend(q_.data(), n, config_.n_heads, cache,
                  {attention_scale_, config_.attention_softcap}, attended_.data());
  cache.Trim();

  Project(attended_.data(), n, {{w.wo, w.bo, delta_}});
  NormInPlace(w.attn_post_norm, delta_);
  backend_.Add(x, delta_.data(), delta_.size());
}

// x += norm₂(W_down (f(W_gate x̂ + b_gate) ⊙ (W_up x̂ + b_up)) + b_down),  x̂ = norm₁(x)
void Transformer::MlpBlock(const LayerWeights& w, size_t n, float* x) {
  const float* normed = PreNorm(x, n, w.ffn_norm);
  Project(normed, n, {{w.w_gate, w.b_gate, gate_}, {w.w_up, w.b_up, up_}});
  if (config_.activation == Activation::kSilu) {
    backend_.SwiGlu(gate_.data(), up_.data(), gate_.size());
  } else {
    backend_.GeGlu(gate_.data(), up_.data(), gate_.size());
  }
  Project(gate_.data(), n, {{w.w_down, w.b_down, delta_}});
  NormInPlace(w.ffn_post_norm, delta_);
  backend_.Add(x, delta_.data(), delta_.size());
}

void Transformer::Logits(const float* hidden, size_t n, float* logits) {
  const float* normed = PreNorm(hidden, n, weights_.output_norm);
  const size_t count = n * config_.vocab_size;
  if (!backend_.on_host()) logits_.Resize(count);
  float* out = backend_.on_host() ? logits : logits_.data();
  backend_.MatMul(normed, n, weights_.output, out);
  if (config_.final_softcap > 0) backend_.SoftCap(out, config_.final_softcap, count);
  if (out != logits) backend_.CopyToHost(out, count, logits);
}

void Transformer::Logits(std::span<const float> hidden_on_host, float* logits) {
  delta_.Assign(hidden_on_host);
  Logits(delta_.data(), hidden_on_host.size() / config_.hidden_size, logits);
}

// x itself if there is no norm.
const float* Transformer::PreNorm(const float* x, size_t n, const std::vector<float>& weight) {
  if (weight.empty()) return x;
  normed_.Resize(n * weight.size());
  backend_.RmsNorm(x, n, weight, config_.rms_norm_eps, normed_.data());
  return normed_.data();
}

// Every run of weight.size() elements by itself: a token, or a head of it.
void Transformer::NormInPlace(const std::vector<float>& weight, Activations& x) {
  if (weight.empty()) return;
  backend_.RmsNorm(x.data(), x.size() / weight.size(), weight, config_.rms_norm_eps, x.data());
}

void Transformer::Project(const float* x, size_t n, std::initializer_list<Projection> projections) {
  std::array<Product, 3> products;
  size_t count = 0;
  for (const Projection& p : projections) {
    p.out.Resize(n * p.w.rows);
    products[count++] = {&p.w, p.out.data()};
  }
  backend_.MatMul(x, n, std::span(products).first(count));
  for (const Projection& p : projections) {
    if (!p.bias.empty()) backend_.AddBias(p.out.data(), n, p.bias);
  }
}

}  // namespace spark
