// What a plan will take, before anything is loaded.
#include <algorithm>
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

KvBytes HeadBytes(const CompressionPlan& plan, CacheTypes types, size_t head_dim, size_t n) {
  KvBytes bytes;
  if (n == 0) return bytes;
  const std::vector<float> rows = Normals(n * head_dim);
  const size_t window = plan.channel_stage() == nullptr ? 0 : plan.channel_stage()->window();
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
  if (plan.channel_stage() == nullptr) {
    context.push_back(std::make_shared<const Segment>(DenseSegment(head, 0, n)));
  } else {
    for (Segment& segment : plan.channel_stage()->Compress(head)) {
      context.push_back(std::make_shared<const Segment>(std::move(segment)));
    }
  }
  layer.AddBytes(bytes);
  return bytes;
}

}  // namespace

// Heads that keep as many tokens take as many bytes, so a head is packed for each such number.
KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens) {
  KvBytes sum;
  KvBytes head;
  size_t packed = SIZE_MAX;
  for (size_t layer = 0; layer < model.n_layers; ++layer) {
    const TokenStage* stage = plan.token_stage();
    const size_t n =
        stage == nullptr ? n_tokens : stage->LayerBudget(layer, model.n_layers, n_tokens);
    if (n != packed) {
      head = HeadBytes(plan, {ToDType(keys), ToDType(values)}, model.head_dim, n);
      packed = n;
    }
    AddTimes(head, model.n_kv_heads, sum);
  }
  return sum;
}

}  // namespace spark
