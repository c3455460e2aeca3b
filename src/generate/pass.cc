#include "generate/pass.h"

#include <algorithm>

#include "base/seconds.h"

namespace spark {
namespace {

CompressionPass AtLayer(CompressionPass pass, const PassPlan& plan, size_t layer) {
  pass.layer = layer;
  pass.n_layers = plan.config.n_layers;
  pass.rope = &plan.transformer.rope(layer);
  pass.rope_frequencies = plan.transformer.rope_frequencies(layer);
  pass.threads = plan.threads;
  pass.backend = &plan.backend;
  return pass;
}

}  // namespace

void RecentQueries::Add(size_t layer, const WindowQueries& queries) {
  Ring& ring = layers_[layer];
  ring.q.resize(window_ * q_size_);
  for (size_t i = 0; i < queries.n; ++i, ++ring.seen) {
    std::copy_n(queries.q.data() + i * q_size_, q_size_,
                ring.q.data() + ring.seen % window_ * q_size_);
  }
}

WindowQueries RecentQueries::Last(size_t layer) const {
  const Ring& ring = layers_[layer];
  WindowQueries queries;
  queries.n = std::min(ring.seen, window_);
  queries.q.resize(queries.n * q_size_);
  for (size_t i = 0; i < queries.n; ++i) {
    const size_t row = (ring.seen - queries.n + i) % window_;
    std::copy_n(ring.q.data() + row * q_size_, q_size_, queries.q.data() + i * q_size_);
  }
  return queries;
}

void RecentQueries::Clear() {
  for (Ring& ring : layers_) ring.seen = 0;
}

void PassObserver::TileDone(size_t layer, size_t tokens) {
  const size_t done = progress_.done + layer * n_tokens_ + tokens;
  if (progress_.report && !progress_.report(done, progress_.total)) throw Interrupted();
}

ContextObserver::ContextObserver(const PassProgress& progress, size_t n_tokens,
                                 const CompressionPass& pass, std::vector<ContextTarget> targets)
    : PassObserver(progress, n_tokens), pass_(pass), targets_(std::move(targets)) {
  OpenContext(0);
}

void ContextObserver::OpenContext(size_t layer) {
  const ContextTarget& first = targets_.front();
  first.cache.layers()[layer].OpenContext(n_tokens(), first.plan.plan.compresses_windows());
}

size_t ContextObserver::window() const {
  size_t window = 0;
  for (const ContextTarget& target : targets_) window = std::max(window, target.plan.plan.window());
  return window;
}

void ContextObserver::LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) {
  // From the last to the first, whose cache all others copy. A stage takes as many of the queries
  // as it looks at.
  for (size_t i = targets_.size(); i-- > 0;) {
    const ContextTarget& target = targets_[i];
    LayerCache& own = target.cache.layers()[layer];
    if (i > 0) own.CopyTails(cache);
    const Clock::time_point start = Clock::now();
    CompressLayer(target.plan.plan, AtLayer(pass_, target.plan, layer), queries,
                  target.plan.config.n_heads, own);
    target.plan.backend.ReleaseTails(own);
    target.compress_seconds += SecondsSince(start);
  }
  // Only now: one dense layer at a time.
  if (layer + 1 < targets_.front().cache.layers().size()) OpenContext(layer + 1);
}

void TailObserver::LayerDone(size_t layer, LayerCache& cache, const WindowQueries& queries) {
  recent_.Add(layer, queries);
  if (cache.window() > 0 && !plan_.plan.compresses_windows()) return;
  if (cache.heads().front().tail.size() < limit_) return;
  const Clock::time_point start = Clock::now();
  CompressLayer(plan_.plan, AtLayer(pass_, plan_, layer), recent_.Last(layer), plan_.config.n_heads,
                cache);
  compress_seconds_ += SecondsSince(start);
}

void CompressTails(const PassPlan& plan, const CompressionPass& pass, const RecentQueries& recent,
                   KvCache& cache) {
  for (size_t i = 0; i < cache.layers().size(); ++i) {
    CompressLayer(plan.plan, AtLayer(pass, plan, i), recent.Last(i), plan.config.n_heads,
                  cache.layers()[i]);
  }
}

}  // namespace spark
