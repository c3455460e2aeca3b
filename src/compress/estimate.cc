// What a plan will take, before anything is loaded.
#include <algorithm>
#include <map>
#include <random>

#include "compress/compressor.h"
#include "compress/stage.h"
#include "spark/compression.h"
#include "spark/model.h"

namespace spark {
namespace {

// Normal numbers: methods whose bytes depend on the data are shown something like keys.
std::vector<float> Normals(size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  std::generate(out.begin(), out.end(), [&] { return normal(random); });
  return out;
}

void AddTimes(const KvBytes& bytes, size_t times, KvBytes& sum) {
  sum.key_values += times * bytes.key_values;
  sum.key_masks += times * bytes.key_masks;
  sum.key_signs += times * bytes.key_signs;
  sum.key_scalars += times * bytes.key_scalars;
  sum.values += times * bytes.values;
  sum.dense_tail += times * bytes.dense_tail;
}

KvBytes HeadBytes(const ChannelStage* stage, CacheTypes types, size_t head_dim, size_t n) {
  KvBytes bytes;
  if (n == 0) return bytes;
  const std::vector<float> rows = Normals(n * head_dim);
  const size_t window = stage == nullptr ? 0 : stage->window();
  const std::vector<float> queries = Normals(std::min(window, n) * head_dim);
  const HeadContext head{.keys = rows.data(),
                         .values = rows.data(),
                         .n_tokens = n,
                         .head_dim = head_dim,
                         .queries = queries.data(),
                         .window = std::min(window, n),
                         .group = 1,
                         .types = types};
  LayerCache layer(1, head_dim, types);
  auto& context = layer.heads().front().context;
  if (stage == nullptr) {
    context.push_back(std::make_shared<const Segment>(DenseSegment(head, 0, n)));
  } else {
    for (Segment& segment : stage->Compress(head)) {
      context.push_back(std::make_shared<const Segment>(std::move(segment)));
    }
  }
  layer.AddBytes(bytes);
  return bytes;
}

}  // namespace

// Heads that keep as many tokens take as many bytes, so a head is packed for each such number.
KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens, CountedLayers layers) {
  KvBytes sum;
  std::map<std::pair<bool, size_t>, KvBytes> heads;  // by window or not, and tokens
  for (size_t layer = 0; layer < model.n_layers; ++layer) {
    const bool windowed = model.windows[layer] > 0;
    if (layers == (windowed ? CountedLayers::kGlobal : CountedLayers::kWindowed)) continue;
    const size_t seen = windowed ? std::min(n_tokens, model.windows[layer]) : n_tokens;
    const TokenStage* stage = plan.token_stage(windowed);
    const size_t n = stage == nullptr ? seen : stage->LayerBudget(layer, model.n_layers, seen);
    const auto [head, is_new] = heads.try_emplace({windowed, n});
    if (is_new) {
      head->second = HeadBytes(plan.channel_stage(windowed), {ToDType(keys), ToDType(values)},
                               model.head_dim, n);
    }
    AddTimes(head->second, model.n_kv_heads, sum);
  }
  return sum;
}

}  // namespace spark
