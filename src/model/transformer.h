// The forward pass, written once for every architecture and every backend: what distinguishes
// architectures are values of ModelConfig, and vectors that are there or not.
#ifndef SPARK_MODEL_TRANSFORMER_H_
#define SPARK_MODEL_TRANSFORMER_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "backend/activations.h"
#include "backend/backend.h"
#include "kv/kv_cache.h"
#include "model/config.h"
#include "model/weights.h"

namespace spark {

// The last queries of a batch in one layer, with RoPE: they decide which channels matter.
struct WindowQueries {
  size_t n = 0;          // tokens; fewer than asked for when the batch is shorter
  std::vector<float> q;  // [n, n_heads, head_dim]
};

// Looks on while a batch passes through the layers, one after the other.
class LayerObserver {
 public:
  virtual ~LayerObserver() = default;

  // How many of the last queries LayerDone() is to get.
  virtual size_t window() const = 0;

  // `tokens` of the batch have passed through layer `layer`. May throw to abandon the pass; the
  // cache is unusable then.
  virtual void TileDone(size_t layer, size_t tokens) = 0;

  // The whole batch has passed through the layer; its cache may be rebuilt now.
  virtual void LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) = 0;

  // Whether LayerDone() has more to do than to look: then it needs the machine's threads.
  virtual bool rebuilds() const { return true; }
};

class Transformer {
 public:
  // The arguments must outlive the transformer. `batch_size` > 0: tokens that pass through a layer
  // together; it bounds scratch memory and changes results only by rounding.
  Transformer(const ModelConfig& config, const Weights& weights, Backend& backend,
              size_t batch_size);

  // Runs tokens at positions first_position, … through all layers and appends their keys and values
  // to the tails of `cache`. Ids lie in [0, vocab_size). `observer` may be null.
  // Returns the hidden states after the last layer, [n, hidden_size]; see Logits().
  Activations Forward(std::span<const int32_t> ids, size_t first_position, KvCache& cache,
                      LayerObserver* observer);

  // hidden: [n, hidden_size], rows of Forward()'s result, or a copy on the host.
  // logits: [n, vocab_size], on the host
  void Logits(const float* hidden, size_t n, float* logits);
  void Logits(std::span<const float> hidden_on_host, float* logits);

  const ModelConfig& config() const { return config_; }
  // How a layer rotates queries and keys, and by how many radians a position, [rope(layer).dim /
  // 2]; zeros for a layer without RoPE.
  const RopeConfig& rope(size_t layer) const;
  std::span<const float> rope_frequencies(size_t layer) const;

 private:
  struct TileAngles {
    RopeAngles global, local;
    const RopeAngles* Of(LayerConfig::Rope kind) const;  // null: no rotation
  };
  std::vector<TileAngles> MakeAngles(size_t first_position, size_t n_batch) const;

  // A batch under way.
  struct Batch {
    size_t n = 0;
    std::vector<TileAngles> angles{};  // of every tile
    Activations x;                     // [n, hidden_size]
    WindowQueries window{};            // of the layer under way
  };
  void RunLayer(size_t layer, KvCache& cache, LayerObserver* observer, Batch& batch);

  // One tile of a batch: n rows of x are updated in place.
  void AttentionBlock(const LayerWeights& w, const RopeAngles* angles, size_t n, float* x,
                      LayerCache& cache);
  void MlpBlock(const LayerWeights& w, size_t n, float* x);

  const float* PreNorm(const float* x, size_t n, const std::vector<float>& weight);
  void NormInPlace(const std::vector<float>& weight, Activations& x);
  // out = W x + b, of one x for several W of as many columns.
  struct Projection {
    const Weight& w;
    const std::vector<float>& bias;
    Activations& out;
  };
  void Project(const float* x, size_t n, std::initializer_list<Projection> projections);

  const ModelConfig& config_;
  const Weights& weights_;
  Backend& backend_;
  const size_t batch_size_;
  const float attention_scale_;
  const std::vector<float> global_frequencies_, local_frequencies_, no_frequencies_;

  // Scratch for one tile; q_ still holds the tile's queries after AttentionBlock().
  Activations normed_, q_, k_, v_, attended_, gate_, up_, delta_, logits_;
};

}  // namespace spark

#endif  // SPARK_MODEL_TRANSFORMER_H_
