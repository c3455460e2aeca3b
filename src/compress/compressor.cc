#include "compress/compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "compress/stage.h"
#include "spark/error.h"
#include "spark/model.h"

namespace spark {
namespace {

// The queries of one KV head's group: [window, group, head_dim] out of [window, n_heads, head_dim].
std::vector<float> GroupQueries(const WindowQueries& queries, size_t n_heads, size_t head,
                                size_t group, size_t head_dim) {
  std::vector<float> out(queries.n * group * head_dim);
  for (size_t i = 0; i < queries.n; ++i) {
    std::copy_n(queries.q.data() + (i * n_heads + head * group) * head_dim, group * head_dim,
                out.data() + i * group * head_dim);
  }
  return out;
}

void CompressHead(const ChannelStage* stage, const std::vector<float>& queries, size_t window,
                  size_t group, CacheTypes types, HeadCache& cache) {
  const Tail tail = std::move(cache.tail);
  const size_t head_dim = tail.keys.dim();
  const HeadContext head{.keys = reinterpret_cast<const float*>(tail.keys.data()),
                         .n_tokens = tail.size(),
                         .head_dim = head_dim,
                         .queries = queries.data(),
                         .window = window,
                         .group = group};
  std::vector<KeySegment> segments;
  if (stage == nullptr) {
    segments.push_back(DenseKeys(head, 0, head.n_tokens, types.keys));
  } else {
    segments = stage->Compress(head, types.keys);
  }
  const auto* values = reinterpret_cast<const float*>(tail.values.data());
  for (KeySegment& segment : segments) {
    DenseStore packed(types.values, head_dim);
    packed.Reserve(segment.count);
    packed.Append(values + segment.first * head_dim, segment.count, head_dim);
    cache.context.push_back({std::move(segment.keys), std::move(packed)});
  }
}

}  // namespace

DType ToDType(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return DType::kF32;
    case CacheType::kF16:
      return DType::kF16;
    case CacheType::kBF16:
      return DType::kBF16;
  }
  throw Error("unknown cache type");
}

CacheType ParseCacheType(std::string_view name, std::string_view flag) {
  for (const CacheType type : {CacheType::kF32, CacheType::kF16, CacheType::kBF16}) {
    if (name == Name(type)) return type;
  }
  const bool later = name == "q8_0" || name == "q4_0";
  throw UsageError(
      later ? "not available yet" : "unknown cache type",
      {.field = std::string(flag), .found = std::string(name), .allowed = "f32, f16, bf16"});
}

std::string_view Name(CacheType type) { return Name(ToDType(type)); }

void CompressLayer(const CompressionPlan& plan, const WindowQueries& queries, size_t n_heads,
                   int threads, LayerCache& layer) {
  const size_t n_kv_heads = layer.heads().size();
  const size_t group = n_heads / n_kv_heads;
  std::exception_ptr failure;  // an exception may not leave a parallel region
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (size_t h = 0; h < n_kv_heads; ++h) {
    try {
      CompressHead(plan.channel_stage(), GroupQueries(queries, n_heads, h, group, layer.head_dim()),
                   queries.n, group, layer.types(), layer.heads()[h]);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  layer.OpenTail();
}

KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens) {
  LayerCache layer(1, model.head_dim, {ToDType(keys), ToDType(values)});
  layer.OpenContext(n_tokens);
  const std::vector<float> token(model.head_dim, 1.0f);
  for (size_t t = 0; t < n_tokens; ++t) layer.Append(token.data(), token.data(), 1);
  WindowQueries queries;
  queries.n = 1;
  queries.q.assign(model.head_dim, 1.0f);
  CompressLayer(plan, queries, 1, 1, layer);

  KvBytes bytes;
  layer.AddBytes(bytes);
  const size_t heads = model.n_layers * model.n_kv_heads;
  for (size_t* part : {&bytes.key_values, &bytes.key_masks, &bytes.key_signs, &bytes.key_scalars,
                       &bytes.values, &bytes.dense_tail}) {
    *part *= heads;
  }
  return bytes;
}

}  // namespace spark
