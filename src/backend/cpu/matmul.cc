#include "backend/cpu/matmul.h"

#include <algorithm>

#include "backend/cpu/block_dot.h"
#include "backend/cpu/float_matmul.h"
#include "backend/cpu/int_matmul.h"
#include "backend/cpu/unpack.h"
#include "base/tiles.h"

namespace spark {
namespace {

// Up to this many activation rows, dot products beat panels: a panel costs as much for one row as
// for 16.
constexpr size_t kFewRows = 3;
// Weight rows that a thread takes at a time, a multiple of 4: unpacked, 16 rows of 1536 are 24 KB
// (96 KB in f32).
constexpr size_t kTileRows = 16;
// Bytes of weights that a thread takes at a time where few activation rows meet them. Long runs
// let the processor's prefetching work: 47 GB/s with half a matrix of 540 KB for each of two
// threads, 41 with items of 96 KB, 31 with 24 KB.
constexpr size_t kLeastItemBytes = 16384;
constexpr size_t kMostItemBytes = size_t{1} << 20;
constexpr size_t kItemsAThread = 2;
// Activation rows of one pass over the weights: their panels should stay in the L2 or L3 cache.
constexpr size_t kPassRows = 512;

size_t RowBytes(const Weight& w) {
  return w.cols / Traits(w.type).block_elements * Traits(w.type).block_bytes;
}

}  // namespace

MatMul::MatMul(ThreadTeam& team, bool compute_f32)
    : team_(team), compute_f32_(compute_f32), scratch_(team.size()) {}

std::byte* MatMul::ThreadScratch(size_t thread, size_t bytes) {
  AlignedBytes& scratch = scratch_[thread];
  if (scratch.size() < bytes) scratch.Resize(bytes);
  return scratch.data();
}

void MatMul::Run(const float* x, size_t n, std::span<const Product> products) {
  const auto blocks = [](const Product& p) { return HasBlockDot(p.w->type, p.w->cols); };
  if (n <= kFewRows && !compute_f32_ && std::ranges::all_of(products, blocks)) {
    RunFewBlocks(x, n, products);
  } else if (n <= kFewRows) {
    for (const Product& p : products) {
      InIntegers(*p.w) ? RunFewInt(x, n, *p.w, p.out) : RunFewFloat(x, n, *p.w, p.out);
    }
  } else {
    for (size_t i = 0; i < n; i += kPassRows) {
      RunPass(x, i, std::min(kPassRows, n - i), products);
    }
  }
}

// Rows [first, first + n) of x.
void MatMul::RunPass(const float* x, size_t first, size_t n, std::span<const Product> products) {
  IntPanels panels{};
  size_t group = 0;  // of the panels
  for (const Product& p : products) {
    const Weight& w = *p.w;
    const float* rows = x + first * w.cols;
    float* out = p.out + first * w.rows;
    if (!InIntegers(w)) {
      RunManyFloat(rows, n, w, out);
      group = 0;
      continue;
    }
    if (group != GroupSize(w.type)) {
      group = GroupSize(w.type);
      panels = MakePanels(rows, n, w.cols, group);
    }
    ForUnpackedTiles(w, kTileRows, [&](const UnpackedRows& tile, size_t row, size_t count) {
      IntPanelProduct(w.type, tile, count, panels, out + row, w.rows);
    });
  }
}

QuantizedRow MatMul::QuantizedActivation(size_t m, size_t cols, size_t group) {
  const size_t row_bytes = RoundUp(QuantizedBytes(cols, group), kAlignment);
  return QuantizedAt(cols, group, 1, activations_.data() + m * row_bytes);
}

void MatMul::QuantizeActivations(const float* x, size_t n, size_t cols, size_t group) {
  const size_t row_bytes = RoundUp(QuantizedBytes(cols, group), kAlignment);
  activations_.Resize(std::max(activations_.size(), n * row_bytes));
  for (size_t m = 0; m < n; ++m) {
    QuantizeRow(x + m * cols, cols, group, QuantizedActivation(m, cols, group));
  }
}

// Quantises n rows and puts them into strips of one kind, behind each other in strips_[kind].
void MatMul::MakeStrips(const float* x, size_t n, size_t cols, StripKind kind) {
  const size_t group = StripGroup(kind);
  const size_t bytes = BlockStripBytes(kind, cols);
  AlignedBytes& strips = strips_[static_cast<size_t>(kind)];
  QuantizeActivations(x, n, cols, group);
  if (strips.size() < n * bytes) strips.Resize(n * bytes);
  for (size_t m = 0; m < n; ++m) {
    MakeBlockStrips(kind, QuantizedActivation(m, cols, group), cols, strips.data() + m * bytes);
  }
}

// One loop for all products: an item is some consecutive rows of one of them.
void MatMul::RunFewBlocks(const float* x, size_t n, std::span<const Product> products) {
  const size_t cols = products.front().w->cols;
  for (const StripKind kind : {StripKind::kGroups, StripKind::kSuperblocks}) {
    const auto of_kind = [&](const Product& p) { return StripsOf(p.w->type) == kind; };
    if (std::ranges::any_of(products, of_kind)) MakeStrips(x, n, cols, kind);
  }

  size_t bytes = 0;
  for (const Product& p : products) bytes += p.w->rows * RowBytes(*p.w);
  const auto rows_an_item = [&](const Weight& w) { return FewRowsAnItem(w, bytes); };
  size_t n_items = 0;
  for (const Product& p : products) n_items += CeilDiv(p.w->rows, rows_an_item(*p.w));
  team_.For(n_items, [&](size_t item, size_t) {
    const Product* p = products.data();
    for (size_t own; item >= (own = CeilDiv(p->w->rows, rows_an_item(*p->w))); ++p) item -= own;
    const Weight& w = *p->w;
    const size_t first = item * rows_an_item(w);
    const size_t count = std::min(rows_an_item(w), w.rows - first);
    const StripKind kind = StripsOf(w.type);
    const std::byte* strips = strips_[static_cast<size_t>(kind)].data();
    for (size_t m = 0; m < n; ++m, strips += BlockStripBytes(kind, cols)) {
      BlockDotRows(w, first, count, strips, p->out + m * w.rows + first);
    }
  });
}

template <class Body>
void MatMul::ForUnpackedTiles(const Weight& w, size_t rows_an_item, const Body& body) {
  team_.For(CeilDiv(w.rows, rows_an_item), [&](size_t item, size_t thread) {
    const UnpackedRows rows =
        UnpackedAt(w, kTileRows, ThreadScratch(thread, UnpackedBytes(w, kTileRows)));
    const size_t end = std::min((item + 1) * rows_an_item, w.rows);
    for (size_t first = item * rows_an_item; first < end; first += kTileRows) {
      const size_t count = std::min(kTileRows, end - first);
      UnpackRows(w, first, count, rows);
      body(rows, first, count);
    }
  });
}

// Rows of weights that a thread takes at a time where few activation rows meet them, a multiple of
// kTileRows. `bytes`: of all weights of the loop.
size_t MatMul::FewRowsAnItem(const Weight& w, size_t bytes) const {
  const size_t item_bytes =
      std::clamp(CeilDiv(bytes, kItemsAThread * team_.size()), kLeastItemBytes, kMostItemBytes);
  return RoundUp(CeilDiv(item_bytes, RowBytes(w)), kTileRows);
}

void MatMul::RunFewInt(const float* x, size_t n, const Weight& w, float* out) {
  const size_t group = GroupSize(w.type);
  QuantizeActivations(x, n, w.cols, group);
  const size_t rows_an_item = FewRowsAnItem(w, w.rows * RowBytes(w));
  ForUnpackedTiles(w, rows_an_item, [&](const UnpackedRows& rows, size_t first, size_t count) {
    for (size_t m = 0; m < n; ++m) {
      IntDotRows(w.type, rows, count, QuantizedActivation(m, w.cols, group),
                 out + m * w.rows + first);
    }
  });
}

// Quantises n rows into panels, in activations_.
IntPanels MatMul::MakePanels(const float* x, size_t n, size_t cols, size_t group) {
  const size_t lanes = IntPanelLanes();
  const size_t row_bytes = QuantizedBytes(cols, group);
  const size_t panel_bytes = RoundUp(row_bytes * lanes, kAlignment);
  const size_t n_panels = CeilDiv(n, lanes);
  activations_.Resize(std::max(activations_.size(), n_panels * panel_bytes));
  std::byte* panels = activations_.data();
  team_.For(n_panels, [&](size_t p, size_t thread) {
    const QuantizedRow row = QuantizedAt(cols, group, 1, ThreadScratch(thread, row_bytes));
    QuantizePanel(x + p * lanes * cols, std::min(lanes, n - p * lanes), cols, group, row,
                  QuantizedAt(cols, group, lanes, panels + p * panel_bytes));
  });
  return {QuantizedAt(cols, group, lanes, panels), panel_bytes, n};
}

void MatMul::RunFewFloat(const float* x, size_t n, const Weight& w, float* out) {
  if (!IsQuantized(w.type)) {
    const size_t rows_an_item = FewRowsAnItem(w, w.rows * RowBytes(w));
    team_.For(CeilDiv(w.rows, rows_an_item), [&](size_t item, size_t) {
      const size_t first = item * rows_an_item;
      FloatDotRows(w.type, w.data + first * RowBytes(w), std::min(rows_an_item, w.rows - first),
                   w.cols, x, n, out + first, w.rows);
    });
    return;
  }
  const size_t unpacked = UnpackedBytes(w, 1);
  team_.For(CeilDiv(w.rows, kTileRows), [&](size_t tile, size_t thread) {
    const size_t first = tile * kTileRows;
    const size_t count = std::min(kTileRows, w.rows - first);
    std::byte* place = ThreadScratch(thread, kTileRows * w.cols * sizeof(float) + unpacked);
    auto* rows = reinterpret_cast<float*>(place);
    const UnpackedRows one = UnpackedAt(w, 1, place + kTileRows * w.cols * sizeof(float));
    for (size_t i = 0; i < count; ++i) DequantizeWeightRow(w, first + i, one, rows + i * w.cols);
    FloatDotRows(DType::kF32, place, count, w.cols, x, n, out + first, w.rows);
  });
}

void MatMul::RunManyFloat(const float* x, size_t n, const Weight& w, float* out) {
  const size_t lanes = FloatPanelLanes();
  const size_t n_panels = CeilDiv(n, lanes);
  const size_t panel_floats = lanes * w.cols;
  activations_.Resize(std::max(activations_.size(), n_panels * panel_floats * sizeof(float)));
  auto* panels = reinterpret_cast<float*>(activations_.data());
  team_.For(n_panels, [&](size_t p, size_t) {
    PackFloatPanel(x + p * panel_floats, std::min(lanes, n - p * lanes), w.cols,
                   panels + p * panel_floats);
  });

  const size_t unpacked = IsQuantized(w.type) ? UnpackedBytes(w, 1) : 0;
  const size_t tile_bytes = kTileRows * w.cols * sizeof(float);
  team_.For(CeilDiv(w.rows, kTileRows), [&](size_t tile, size_t thread) {
    const size_t first = tile * kTileRows;
    const size_t count = std::min(kTileRows, w.rows - first);
    std::byte* place = ThreadScratch(thread, tile_bytes + unpacked);
    auto* rows = reinterpret_cast<float*>(place);
    const UnpackedRows one = unpacked > 0 ? UnpackedAt(w, 1, place + tile_bytes) : UnpackedRows{};
    for (size_t i = 0; i < count; ++i) DequantizeWeightRow(w, first + i, one, rows + i * w.cols);
    FloatPanelProduct(rows, count, w.cols, panels, n, out + first, w.rows);
  });
}

void MatMul::Embed(const Weight& table, std::span<const int32_t> ids, float* out) {
  const size_t unpacked = IsQuantized(table.type) ? UnpackedBytes(table, 1) : 0;
  std::byte* place = ThreadScratch(0, unpacked);
  const UnpackedRows one = unpacked > 0 ? UnpackedAt(table, 1, place) : UnpackedRows{};
  for (size_t i = 0; i < ids.size(); ++i) {
    DequantizeWeightRow(table, static_cast<size_t>(ids[i]), one, out + i * table.cols);
  }
}

}  // namespace spark
