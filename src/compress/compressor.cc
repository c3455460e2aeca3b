#include "compress/compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "compress/for_heads.h"
#include "compress/stage.h"
#include "kv/merge.h"
#include "spark/error.h"
#include "spark/model.h"

namespace spark {
namespace {

// The last `n` queries of one KV head's group: [n, group, head_dim] out of [m, n_heads, head_dim].
std::vector<float> GroupQueries(const WindowQueries& queries, size_t n, size_t n_heads, size_t head,
                                size_t group, size_t head_dim) {
  std::vector<float> out(n * group * head_dim);
  for (size_t i = 0; i < n; ++i) {
    std::copy_n(queries.q.data() + ((queries.n - n + i) * n_heads + head * group) * head_dim,
                group * head_dim, out.data() + i * group * head_dim);
  }
  return out;
}

// Tokens of a head as floats, with the queries that look at them; owns what `view` points at.
struct HeadTokens {
  std::vector<float> keys, values, queries;
  std::optional<Tail> rows{};  // instead of copies of its keys and values
  HeadContext view;
};

// Everything that a pass over one layer needs.
struct LayerPass {
  const CompressionPlan& plan;
  const CompressionPass& pass;
  const WindowQueries& queries;
  size_t n_heads;
  LayerCache& layer;
  // In a window, the queries of older tokens than it holds say nothing of them. Noted before any
  // head's tail is packed: then the layer's own count is gone.
  size_t most_queries = SIZE_MAX;

  size_t group() const { return n_heads / layer.heads().size(); }
  bool windowed() const { return layer.window() > 0; }
  const TokenStage* token_stage() const { return plan.token_stage(windowed()); }
  const ChannelStage* channel_stage() const { return plan.channel_stage(windowed()); }

  // A head without tokens yet, looked at by the last `window` queries.
  HeadTokens Begin(size_t head, size_t window) const {
    HeadTokens tokens;
    tokens.view = Shape(head, window);
    tokens.queries = Queries(head, tokens.view.window);
    return tokens;
  }
  // … without its queries, either.
  HeadContext Shape(size_t head, size_t window) const {
    return {.head_dim = layer.head_dim(),
            .window = std::min({window, queries.n, most_queries}),
            .group = group(),
            .layer = pass.layer,
            .head = head,
            .begins = pass.begins,
            .ends = pass.ends,
            .types = layer.types()};
  }
  // The last n of a head: [n, group, head_dim]
  std::vector<float> Queries(size_t head, size_t n) const {
    return GroupQueries(queries, n, n_heads, head, group(), layer.head_dim());
  }
};

template <class Keys, class Values>
void ReadTokens(const Keys& keys, const Values& values, std::span<const uint32_t> numbers,
                HeadTokens& out) {
  const size_t dim = out.view.head_dim;
  const size_t before = out.keys.size();
  out.keys.resize(before + numbers.size() * dim);
  out.values.resize(before + numbers.size() * dim);
  for (size_t i = 0; i < numbers.size(); ++i) {
    keys.ReadRow(numbers[i], out.keys.data() + before + i * dim);
    values.ReadRow(numbers[i], out.values.data() + before + i * dim);
  }
}

// All of a tail of floats, as a context has it in prefill, is taken as it lies.
void TakeTail(Tail tail, HeadTokens& out) {
  out.rows = std::move(tail);
  out.view.keys = reinterpret_cast<const float*>(out.rows->keys.data());
  out.view.values = reinterpret_cast<const float*>(out.rows->values.data());
  out.view.queries = out.queries.data();
  out.view.n_tokens = out.rows->size();
}

void Finish(HeadTokens& tokens) {
  tokens.view.keys = tokens.keys.data();
  tokens.view.values = tokens.values.data();
  tokens.view.queries = tokens.queries.data();
  tokens.view.n_tokens = tokens.keys.size() / tokens.view.head_dim;
}

std::vector<uint32_t> Numbers(size_t first, size_t end) {
  std::vector<uint32_t> numbers(end - first);
  std::iota(numbers.begin(), numbers.end(), static_cast<uint32_t>(first));
  return numbers;
}

// What a token stage scores: the tail, behind the context's tokens if those may go as well.
HeadTokens ScoredTokens(const LayerPass& p, size_t head, bool whole) {
  const HeadCache& cache = p.layer.heads()[head];
  HeadTokens tokens = p.Begin(head, p.token_stage()->window());
  for (const SegmentPtr& segment : cache.context) {
    if (!whole) break;
    const std::vector<uint32_t> all = Numbers(0, segment->size());
    std::visit([&](const auto& keys, const auto& values) { ReadTokens(keys, values, all, tokens); },
               segment->keys, segment->values);
    tokens.view.begins = true;
  }
  ReadTokens(cache.tail.keys, cache.tail.values, Numbers(0, cache.tail.size()), tokens);
  Finish(tokens);
  return tokens;
}

// Removes context tokens that are not in `kept` (ascending numbers over context and tail), and
// returns those that are in the tail, numbered from its start.
std::vector<uint32_t> EvictContext(const std::vector<uint32_t>& kept, HeadCache& cache) {
  std::vector<SegmentPtr> left;
  auto next = kept.begin();
  uint32_t first = 0;
  for (const SegmentPtr& segment : cache.context) {
    const auto end = static_cast<uint32_t>(first + segment->size());
    std::vector<uint32_t> tokens;
    for (; next != kept.end() && *next < end; ++next) tokens.push_back(*next - first);
    if (tokens.size() == segment->size()) {
      left.push_back(segment);
    } else if (!tokens.empty()) {
      left.push_back(std::make_shared<const Segment>(segment->Select(tokens)));
    }
    first = end;
  }
  cache.context = std::move(left);
  std::vector<uint32_t> tail;
  for (; next != kept.end(); ++next) tail.push_back(*next - first);
  return tail;
}

// For every head, which tokens of its tail stay.
std::vector<std::vector<uint32_t>> RunTokenStage(const LayerPass& p) {
  std::vector<HeadCache>& caches = p.layer.heads();
  const TokenStage* stage = p.token_stage();
  std::vector<std::vector<uint32_t>> kept(caches.size());
  if (stage == nullptr || (p.pass.generated && stage->budget().n_tokens == 0)) {
    for (size_t h = 0; h < caches.size(); ++h) kept[h] = Numbers(0, caches[h].tail.size());
    return kept;
  }
  const bool whole = stage->budget().n_tokens > 0;
  std::vector<HeadTokens> tokens(caches.size());
  LayerContext context{.heads = {},
                       .layer = p.pass.layer,
                       .n_layers = p.pass.n_layers,
                       .next_position = p.pass.next_position,
                       .rope = p.pass.rope,
                       .rope_frequencies = p.pass.rope_frequencies};
  ForHeads(caches.size(), p.pass.threads, [&](size_t h) { tokens[h] = ScoredTokens(p, h, whole); });
  for (const HeadTokens& head : tokens) context.heads.push_back(head.view);
  kept = SelectTokens(*stage, context, p.pass.threads);
  for (size_t h = 0; whole && h < caches.size(); ++h) kept[h] = EvictContext(kept[h], caches[h]);
  return kept;
}

// Notes where the tokens `kept` of the tail stand, which `segments` hold one after the other.
void NotePositions(const std::vector<uint32_t>& kept, size_t tail_begins,
                   std::span<Segment> segments) {
  auto next = kept.begin();
  for (Segment& segment : segments) {
    std::vector<uint32_t> positions(segment.size());
    for (uint32_t& p : positions) p = static_cast<uint32_t>(tail_begins + *next++);
    segment.positions = TokenPositions(std::move(positions));
  }
}

// Keys of all heads as the backend packs them where it has them; empty if it does not. Tokens of a
// context only, and all of them: a token stage leaves gaps.
std::vector<SparseStore> PackOnDevice(const LayerPass& p,
                                      const std::vector<std::vector<uint32_t>>& kept) {
  const ChannelStage* stage = p.channel_stage();
  const size_t n = p.layer.tail_size();
  const bool whole = std::ranges::all_of(kept, [&](const auto& all) { return all.size() == n; });
  if (p.pass.backend == nullptr || stage == nullptr || p.pass.generated || !whole) return {};
  HeadContext shape = p.Shape(0, stage->window());
  shape.n_tokens = n;
  std::optional<KeyPruning> pruning = stage->OnDevice(shape);
  if (!pruning) return {};
  pruning->queries = [&] {
    std::vector<float> queries;
    for (size_t h = 0; h < kept.size(); ++h) {
      const std::vector<float> of_head = p.Queries(h, shape.window);
      queries.insert(queries.end(), of_head.begin(), of_head.end());
    }
    return queries;
  };
  return p.pass.backend->PackKeys(p.layer, *pruning);
}

// Packs the tail's tokens `kept`, except the newest ones that stay in the tail. `packed`: the keys
// of those that are pruned, or null.
void PackTail(const LayerPass& p, size_t head, std::vector<uint32_t> kept, SparseStore* packed) {
  HeadCache& cache = p.layer.heads()[head];
  const ChannelStage* stage = p.channel_stage();
  const size_t stay =
      p.pass.generated && stage != nullptr ? std::min(stage->keep(), cache.tail.size()) : size_t{0};
  const size_t end = cache.tail.size() - stay;  // tokens from here on stay as they are
  kept.erase(std::lower_bound(kept.begin(), kept.end(), static_cast<uint32_t>(end)), kept.end());

  HeadTokens tokens = p.Begin(head, stage == nullptr ? 0 : stage->window());
  const std::vector<uint32_t> rest = Numbers(end, cache.tail.size());
  Tail tail{cache.tail.keys.Select(rest), cache.tail.values.Select(rest)};
  std::swap(tail, cache.tail);
  const bool floats = tail.keys.type() == DType::kF32 && tail.values.type() == DType::kF32;
  if (floats && kept.size() == tail.size()) {
    TakeTail(std::move(tail), tokens);
  } else {
    ReadTokens(tail.keys, tail.values, kept, tokens);
    Finish(tokens);
  }
  tokens.view.packed_keys = packed;
  if (p.pass.generated) tokens.view.begins = tokens.view.ends = false;
  if (tokens.view.n_tokens == 0) return;
  std::vector<Segment> segments;
  if (stage == nullptr) {
    segments.push_back(DenseSegment(tokens.view, 0, tokens.view.n_tokens));
  } else {
    segments = stage->Compress(tokens.view);
  }
  if (p.windowed()) {
    NotePositions(kept, p.layer.next_position() - end - rest.size(), segments);
  }
  for (Segment& segment : segments) {
    segment.level = p.pass.generated ? 1 : 0;
    cache.context.push_back(std::make_shared<const Segment>(std::move(segment)));
  }
}

}  // namespace

void CompressLayer(const CompressionPlan& plan, const CompressionPass& pass,
                   const WindowQueries& queries, size_t n_heads, LayerCache& layer) {
  CompressionPass here = pass;
  LayerPass p{plan, here, queries, n_heads, layer};
  if (p.windowed() && !plan.compresses_windows()) {
    if (!pass.generated) layer.OpenTail();  // in the types that it is stored in
    return;
  }
  layer.StraightenTail();
  // A channel stage looks at all of the context, as the papers' do. A token stage is not to spend
  // its budget on tokens that nobody will see.
  if (p.windowed() && p.token_stage() != nullptr && layer.tail_size() > layer.window()) {
    layer.CutToWindow();
    here.begins = false;
  }
  if (p.windowed()) p.most_queries = layer.tail_size();
  const std::vector<std::vector<uint32_t>> kept = RunTokenStage(p);
  std::vector<SparseStore> packed = PackOnDevice(p, kept);
  ForHeads(layer.heads().size(), pass.threads, [&](size_t h) {
    PackTail(p, h, kept[h], packed.empty() ? nullptr : &packed[h]);
    if (pass.generated) MergeGenerated(layer.heads()[h]);
  });
  if (pass.generated) return;
  layer.OpenTail();
  layer.Trim(1);
}

}  // namespace spark
