#include "backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "base/tiles.h"

namespace spark {
namespace {

// Below this many items of whole contexts, contexts are cut so that threads have something to
// share. Not a function of the number of threads: results must not depend on it.
constexpr size_t kEnoughItems = 32;
constexpr size_t kMaxManyTokens = 512;
// Of few query rows a thread takes so many shares of all items, each of consecutive ones: memory is
// fastest in long runs.
constexpr size_t kSharesAThread = 4;
constexpr size_t kWorthSharing = 128;  // rows of partial results

size_t GatheredBytes(size_t head_dim) {
  return RoundUp(kMaxQueryRows * (head_dim * sizeof(float) + 2 * sizeof(uint32_t)), kAlignment);
}

}  // namespace

RowsView ViewOf(const DenseStore& rows) {
  return {.type = rows.type(),
          .head_dim = rows.dim(),
          .width = rows.dim(),
          .row_bytes = rows.row_bytes(),
          .values = rows.data()};
}

RowsView ViewOf(const DroppedKeyStore& keys) {
  RowsView view = ViewOf(keys.rows());
  view.head_dim = keys.head_dim();
  view.channels = keys.channels().data();
  return view;
}

RowsView ViewOf(const SparseStore& rows) {
  return {.type = rows.value_type(),
          .head_dim = rows.head_dim(),
          .width = rows.n_kept(),
          .row_bytes = PackedRowBytes(rows.value_type(), rows.n_kept()),
          .values = rows.values(),
          .masks = rows.masks(),
          .signs = rows.SignPlaneBytes() > 0 ? rows.signs() : nullptr,
          .fill = rows.fill(),
          .scalars = rows.recovery() != Recovery::kZero ? rows.scalars() : nullptr,
          .scalar_type = rows.scalar_type(),
          .offsets = rows.uniform() ? nullptr : rows.offsets(),
          .centre = rows.centre(),
          .sampled = rows.sampled() ? &rows : nullptr};
}

RowsView ViewOf(const LaneStore& keys) {
  return {.type = DType::kQ8_0,
          .head_dim = keys.head_dim(),
          .width = keys.head_dim(),
          .row_bytes = 0,
          .values = nullptr,
          .lanes = &keys};
}

VisibleTokens Visible(const TokenRun& run, const QueryTile& queries, size_t row) {
  VisibleTokens seen{run.first, run.first + run.count};
  if (run.causal) {
    const size_t end = std::max(size_t{queries.ends[row]}, run.first_position);
    seen.end = std::clamp(end - run.first_position, seen.first, seen.end);
  }
  if (run.windowed) {
    const uint32_t position = queries.begins[row];
    const auto all = run.positions;
    const size_t begin =
        all.empty()
            ? std::max(size_t{position}, run.first_position) - run.first_position
            : static_cast<size_t>(std::lower_bound(all.begin(), all.end(), position) - all.begin());
    seen.first = std::clamp(begin, seen.first, seen.end);
  }
  return seen;
}

size_t AttentionScratchBytes(size_t head_dim) {
  const size_t padded = RoundUp(head_dim, 16);
  const size_t tile = kScratchRows * padded + 32;  // see ExpandRows()
  const size_t few = kFewQueryRows * kMaxFewTokens + FewQueryFloats(head_dim) + tile;
  const size_t many = kMaxQueryRows * (3 * padded + kTokenTile + 5) + 2 * tile;
  return std::max(few, many) * sizeof(float);
}

size_t TokenBytes(const RowsView& rows) {
  if (rows.lanes != nullptr) return rows.lanes->layout().tile_bytes() / LaneLayout::kTokens;
  const size_t planes = rows.masks == nullptr ? 0 : 2 * MaskBytes(rows.head_dim) + sizeof(uint16_t);
  return planes + (rows.offsets == nullptr ? rows.row_bytes : rows.head_dim / 4);
}

// Tokens of a run of few queries. This run and the next are in the L2 cache together, which may be
// as small as 512 KB.
size_t FewTokens(const TokenRun& run) {
  constexpr size_t kRunBytes = 128 << 10;
  const size_t tokens = kRunBytes / (TokenBytes(run.keys) + TokenBytes(run.values));
  return std::clamp(tokens / kTokenTile * kTokenTile, kTokenTile, kMaxFewTokens);
}

// Tokens that no query of the batch sees are left out. A tail that has wrapped around is not in
// order, but then it is as long as the window, and the one query sees all of it.
void Attention::PlanPieces(const LayerCache& layer, const HeadCache& head, size_t n, bool few,
                           size_t max_tokens) {
  const size_t first_seen = layer.FirstVisible(layer.next_position() - n);
  const auto add = [&](const TokenRun& store, size_t skip, size_t size) {
    const size_t tokens = few ? FewTokens(store) : max_tokens;
    for (size_t t = skip / kTokenTile * kTokenTile; t < size; t += tokens) {
      pieces_.push_back({stores_.size(), t, std::min(tokens, size - t)});
    }
    stores_.push_back(store);
  };
  const auto view = [](const auto& store) { return ViewOf(store); };
  const bool windowed = layer.window() > 0;
  for (const SegmentPtr& segment : head.context) {
    TokenRun run{.keys = std::visit(view, segment->keys),
                 .values = std::visit(view, segment->values)};
    run.windowed = windowed && segment->positions.known();
    run.first_position = segment->positions.first();
    run.positions = segment->positions.all();
    add(run, segment->positions.CountBefore(first_seen), segment->size());
  }
  TokenRun tail{.keys = ViewOf(head.tail.keys), .values = ViewOf(head.tail.values)};
  tail.causal = true;
  tail.windowed = windowed;
  tail.first_position = layer.next_position() - head.tail.size();
  add(tail, std::max(first_seen, tail.first_position) - tail.first_position, head.tail.size());
}

TokenRun Attention::RunOf(size_t piece) const {
  const Piece& p = pieces_[piece];
  TokenRun run = stores_[p.store];
  run.first = p.first;
  run.count = p.count;
  return run;
}

void Attention::Plan(size_t n, size_t group, const LayerCache& layer) {
  stores_.clear();
  pieces_.clear();
  items_.clear();
  tiles_.clear();
  const size_t n_rows = n * group;
  const bool few = n_rows <= kFewQueryRows;
  const size_t n_tiles = CeilDiv(n_rows, kMaxQueryRows);
  const bool cut = few || n_tiles * layer.heads().size() < kEnoughItems;
  const size_t max_tokens = cut ? kMaxManyTokens : SIZE_MAX / 2;  // unless few

  size_t place = 0;
  for (size_t h = 0; h < layer.heads().size(); ++h) {
    const size_t first_piece = pieces_.size();
    PlanPieces(layer, layer.heads()[h], n, few, max_tokens);
    const size_t n_pieces = pieces_.size() - first_piece;
    const size_t pieces_an_item = cut ? 1 : n_pieces;
    for (size_t row = 0; row < n_rows; row += kMaxQueryRows) {
      const size_t rows = std::min(kMaxQueryRows, n_rows - row);
      tiles_.push_back({items_.size(), n_pieces / pieces_an_item});
      for (size_t piece = 0; piece < n_pieces; piece += pieces_an_item) {
        items_.push_back({h, row, rows, first_piece + piece, pieces_an_item, place});
        place += rows;
      }
    }
  }
  max_.resize(place);
  sum_.resize(place);
  values_.resize(place * layer.head_dim());
}

bool Attention::GoesOn(size_t k) const {
  const Item &before = items_[k - 1], &item = items_[k];
  return before.head == item.head && before.first_row == item.first_row &&
         pieces_[before.first_piece].store == pieces_[item.first_piece].store;
}

void Attention::RunItem(const Item& item, const float* q, size_t n, size_t n_heads,
                        const LayerCache& layer, const ScoreScale& scale, bool prepared,
                        size_t thread) {
  const size_t dim = layer.head_dim();
  const size_t group = n_heads / layer.heads().size();
  AlignedBytes& memory = scratch_[thread];
  const size_t bytes = GatheredBytes(dim) + AttentionScratchBytes(dim);
  if (memory.size() < bytes) memory.Resize(bytes);
  auto* rows = reinterpret_cast<float*>(memory.data());
  auto* begins = reinterpret_cast<uint32_t*>(rows + kMaxQueryRows * dim);
  uint32_t* ends = begins + kMaxQueryRows;

  for (size_t i = 0; i < item.n_rows; ++i) {
    const size_t token = (item.first_row + i) / group;
    const size_t head = item.head * group + (item.first_row + i) % group;
    std::copy_n(q + (token * n_heads + head) * dim, dim, rows + i * dim);
    const size_t position = layer.next_position() - n + token;
    begins[i] = static_cast<uint32_t>(layer.FirstVisible(position));
    ends[i] = static_cast<uint32_t>(position + 1);
  }
  const QueryTile queries{rows, item.n_rows, dim, begins, ends, scale};
  const Partial partial{&max_[item.place], &sum_[item.place], &values_[item.place * dim]};
  std::byte* scratch = memory.data() + GatheredBytes(dim);
  if (n * group <= kFewQueryRows) {
    const TokenRun run = RunOf(item.first_piece);
    std::optional<TokenRun> next;
    if (item.first_piece + 1 < pieces_.size()) next = RunOf(item.first_piece + 1);
    AttendFew(queries, run, next ? &*next : nullptr, prepared, scratch, partial);
  } else {
    std::vector<TokenRun> runs;
    for (size_t i = 0; i < item.n_pieces; ++i) runs.push_back(RunOf(item.first_piece + i));
    AttendMany(queries, runs, scratch, partial);
  }
}

// out = Σ_i exp(max_i - max) values_i / Σ_i exp(max_i - max) sum_i, over the items of the row's
// tile in order.
void Attention::FoldRow(const Tile& tile, size_t r, size_t dim, float* out) const {
  const std::span items(&items_[tile.first_item], tile.n_items);
  float max = kMasked;
  for (const Item& item : items) max = std::max(max, max_[item.place + r]);
  std::fill_n(out, dim, 0.0f);
  float sum = 0;
  for (const Item& item : items) {
    const size_t place = item.place + r;
    const float weight = std::exp(max_[place] - max);
    sum += weight * sum_[place];
    for (size_t j = 0; j < dim; ++j) out[j] += weight * values_[place * dim + j];
  }
  for (size_t j = 0; j < dim; ++j) out[j] /= sum;
}

void Attention::Fold(size_t n, size_t n_heads, size_t group, size_t dim, float* out) {
  const size_t tiles_a_head = CeilDiv(n * group, kMaxQueryRows);
  const auto fold = [&](size_t k) {  // row k of out: [n, n_heads]
    const size_t head = k % n_heads;
    const size_t row = k / n_heads * group + head % group;
    const Tile& tile = tiles_[head / group * tiles_a_head + row / kMaxQueryRows];
    FoldRow(tile, row % kMaxQueryRows, dim, out + k * dim);
  };
  // Row by row where rows are few: a layer with one KV head has four of them, and hundreds of
  // items.
  const size_t n_rows = n * n_heads;
  const size_t shared = n * group <= kFewQueryRows ? 1 : kMaxQueryRows;
  const size_t step = max_.size() > kWorthSharing ? shared : n_rows;
  team_.For(CeilDiv(n_rows, step), [&](size_t i, size_t) {
    const size_t end = std::min((i + 1) * step, n_rows);
    for (size_t k = i * step; k < end; ++k) fold(k);
  });
}

void Attention::Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
                       const ScoreScale& scale, float* out) {
  const size_t group = n_heads / layer.heads().size();
  const size_t dim = layer.head_dim();
  Plan(n, group, layer);
  const auto run = [&](size_t item, bool prepared, size_t thread) {
    RunItem(items_[item], q, n, n_heads, layer, scale, prepared, thread);
  };
  const size_t n_items = items_.size();
  if (n * group <= kFewQueryRows) {
    const size_t share = CeilDiv(n_items, kSharesAThread * team_.size());
    team_.For(CeilDiv(n_items, share), [&](size_t i, size_t thread) {
      const size_t first = i * share;
      for (size_t k = first; k < std::min(first + share, n_items); ++k) {
        run(k, k > first && GoesOn(k), thread);
      }
    });
  } else {
    // Last items first: with a causal tail they are the longest.
    team_.For(n_items, [&](size_t i, size_t thread) { run(n_items - 1 - i, false, thread); });
  }
  Fold(n, n_heads, group, dim, out);
}

void Attention::Scores(const float* q, size_t group, const KeyStore& keys, float* scores) {
  const RowsView view = std::visit([](const auto& store) { return ViewOf(store); }, keys);
  const size_t n = Size(keys);
  AlignedBytes scratch(AttentionScratchBytes(view.head_dim));
  for (size_t r = 0; r < group; r += kFewQueryRows) {
    ScoreRows(view, 0, n, q + r * view.head_dim, std::min(kFewQueryRows, group - r), scores + r * n,
              n, scratch.data());
  }
}

}  // namespace spark
