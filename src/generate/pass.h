// What looks on while tokens pass through the layers: progress, compression, queries for later.
#ifndef SPARK_GENERATE_PASS_H_
#define SPARK_GENERATE_PASS_H_

#include <cstddef>
#include <vector>

#include "compress/compressor.h"
#include "model/transformer.h"
#include "spark/session.h"

namespace spark {

// Progress over the pieces that some tokens are cut into; a step is a token in a layer.
struct PassProgress {
  const Progress& report;
  size_t done = 0;  // by earlier pieces
  size_t total = 0;
};

// The last queries of every layer, while they are needed for a pass over generated tokens.
class RecentQueries {
 public:
  RecentQueries(size_t n_layers, size_t window, size_t q_size)
      : window_(window), q_size_(q_size), layers_(n_layers) {}

  size_t window() const { return window_; }
  void Add(size_t layer, const WindowQueries& queries);
  WindowQueries Last(size_t layer) const;  // in order
  void Clear();

 private:
  struct Ring {
    size_t seen = 0;       // query i lies in row i % window
    std::vector<float> q;  // [window, q_size]
  };
  size_t window_;
  size_t q_size_;
  std::vector<Ring> layers_;
};

// Reports progress, and throws Interrupted when it is told to stop.
class PassObserver : public LayerObserver {
 public:
  PassObserver(const PassProgress& progress, size_t n_tokens)
      : progress_(progress), n_tokens_(n_tokens) {}

  size_t window() const override { return 0; }
  void TileDone(size_t layer, size_t tokens) override;
  void LayerDone(size_t, LayerCache&, const WindowQueries&) override {}

 protected:
  size_t n_tokens() const { return n_tokens_; }

 private:
  const PassProgress& progress_;
  size_t n_tokens_;
};

// The plan, as every layer of every pass applies it.
struct PassPlan {
  const CompressionPlan& plan;
  const ModelConfig& config;
  const Transformer& transformer;
  Backend& backend;
  int threads;
};

// A cache that a context is compressed into, and how. Targets of one pass compress windows all, or
// none of them does: what a layer with a window holds meanwhile depends on it.
struct ContextTarget {
  PassPlan plan;
  KvCache& cache;
  double& compress_seconds;  // is added to
};

// A context or a chunk of one: each layer is compressed as soon as it is done, by every target's
// plan. The pass runs on the first target's cache; a context's hidden states do not depend on the
// plan, so the others get copies of what a layer computed. Chunks take one target only: later ones
// attend to what its plan left.
class ContextObserver : public PassObserver {
 public:
  ContextObserver(const PassProgress& progress, size_t n_tokens, const CompressionPass& pass,
                  std::vector<ContextTarget> targets);

  size_t window() const override;
  void LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) override;

 private:
  void OpenContext(size_t layer);

  CompressionPass pass_;
  std::vector<ContextTarget> targets_;
};

// Tokens behind the context: a layer whose tail has reached `limit` tokens is compressed, which
// `rebuilds` foretells of any layer.
class TailObserver : public PassObserver {
 public:
  TailObserver(const PassProgress& progress, size_t n_tokens, const PassPlan& plan,
               const CompressionPass& pass, size_t limit, RecentQueries& recent, bool rebuilds)
      : PassObserver(progress, n_tokens),
        plan_(plan),
        pass_(pass),
        limit_(limit),
        recent_(recent),
        rebuilds_(rebuilds) {}

  size_t window() const override { return recent_.window(); }
  bool rebuilds() const override { return rebuilds_; }
  void LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) override;
  double compress_seconds() const { return compress_seconds_; }

 private:
  PassPlan plan_;
  CompressionPass pass_;
  size_t limit_;
  RecentQueries& recent_;
  bool rebuilds_;
  double compress_seconds_ = 0;
};

// The same for the tails of all layers, whatever their length, between two passes.
void CompressTails(const PassPlan& plan, const CompressionPass& pass, const RecentQueries& recent,
                   KvCache& cache);

}  // namespace spark

#endif  // SPARK_GENERATE_PASS_H_
