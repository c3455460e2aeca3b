// Asks for the memory of runs of tokens before it is read.
#if defined(SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_
#undef SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_
#else
#define SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_
#endif

#include <hwy/cache_control.h>

#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/weight_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/channel_mask.h"
#include "kv/packed_row.h"
#include "kv/sparse_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {

// Inlined, as all that only asks for memory: g++ takes such a function for one without effects, and
// drops calls of it.
HWY_INLINE void Prefetch(const std::byte* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) hwy::Prefetch(from + i);
}

// Calls body(begin, bytes) for all arrays of tokens [first, first + n) of a store. Where rows
// differ in length, what the first one tells is the guess; it costs nothing to be wrong.
template <class Body>
HWY_INLINE void ForArrays(const RowsView& rows, size_t first, size_t n, const Body& body) {
  if (rows.lanes != nullptr) {
    body(rows.lanes->Tile(first / LaneLayout::kTokens),
         CeilDiv(n, LaneLayout::kTokens) * rows.lanes->layout().tile_bytes());
    return;
  }
  if (rows.offsets == nullptr) {
    body(rows.values + first * rows.row_bytes, n * rows.row_bytes);
  } else {
    const uint32_t* offsets = rows.offsets + first / SparseStore::kOffsetTokens;
    body(rows.values + offsets[0], n * rows.head_dim / 4);
  }
  if (rows.masks == nullptr) return;
  const size_t mask_bytes = MaskBytes(rows.head_dim);
  const auto plane = [&](const uint8_t* bits) HWY_ATTR {
    body(reinterpret_cast<const std::byte*>(bits) + first * mask_bytes, n * mask_bytes);
  };
  plane(rows.masks);
  if (rows.signs != nullptr) plane(rows.signs);
  if (rows.scalars != nullptr) {
    const size_t bytes = PackedRowBytes(rows.scalar_type, 1);
    body(rows.scalars + first * bytes, n * bytes);
  }
}

// Asks for those tokens at once.
HWY_INLINE void PrefetchRows(const RowsView& rows, size_t first, size_t n) {
  ForArrays(rows, first, n, [](const std::byte* begin, size_t bytes) SPARK_INLINE_LAMBDA {
    Prefetch(begin, bytes);
  });
}

// Bytes of memory that are asked for at once, and how many times as many are under way. A burst
// larger than what the processor keeps track of (some 40 lines) stalls it, single lines between the
// work of many tokens get half the speed.
constexpr size_t kBurstBytes = 3072;
constexpr size_t kBurstsAhead = 2;

// Tokens of a burst.
inline size_t BurstTokens(const RowsView& rows) {
  const size_t tokens = kBurstBytes / HWY_MAX(TokenBytes(rows), size_t{1}) / 16 * 16;
  return HWY_MIN(HWY_MAX(tokens, size_t{16}), kTokenTile);
}

// Asks for lines of a piece of memory, to the L2 cache. A copy of it lives in the registers of a
// loop: there is a line to be asked for every ten cycles or so.
struct LinesAhead {
  static constexpr size_t kWhole = 1024;  // a line, in which `due` counts

  const std::byte* at = nullptr;
  const std::byte* end = nullptr;
  size_t due = 0, rate = 0;  // lines to be asked for, and what a step adds

  HWY_INLINE void Step() {
    for (due += rate; due >= kWhole && at != end; due -= kWhole, at += 64) PrefetchToL2(at);
  }
};

// The memory of runs, asked for before it is read.
//
// Where bursts are good: in the order of its use, keys, values, the keys of the next run, in chunks
// of a burst each. Elsewhere: that of the next run, to the L2 cache, line by line between the steps
// of the work on this one. Steps are small (some ten cycles to a hundred) and lie in all kernels,
// as memory would stand still during those that only compute.
class RunMemory {
 public:
  RunMemory(const TokenRun& run, const TokenRun* next)
      : run_(run),
        next_(next),
        bursts_(Bursts()),
        key_step_(bursts_                     ? BurstTokens(run.keys)
                  : run.keys.lanes != nullptr ? kTokenTile
                                              : 16),
        value_step_(bursts_ ? BurstTokens(run.values) : kTokenTile),
        key_chunks_(CeilDiv(run.count, key_step_)) {
    if (bursts_ || next == nullptr) return;
    AddPieces(next->keys);
    AddPieces(next->values);
  }

  bool bursts() const { return bursts_; }
  // Tokens of a chunk, before each of which AskForKeys() or AskForValues() is called.
  size_t key_step() const { return key_step_; }
  size_t value_step() const { return value_step_; }
  HWY_INLINE void AskForKeys(size_t chunk) const {
    if (bursts_) Ask(chunk + kBurstsAhead);
  }
  HWY_INLINE void AskForValues(size_t chunk) const {
    if (bursts_) Ask(key_chunks_ + chunk + kBurstsAhead);
  }

  // The next `n` steps ask for this share of all lines.
  void Pace(double share, size_t n) {
    ahead_.rate = static_cast<size_t>(share * static_cast<double>(n_lines_ * LinesAhead::kWhole) /
                                      static_cast<double>(HWY_MAX(n, size_t{1}))) +
                  1;
  }
  // For a loop, which calls Step() of what Begin() returns and hands it back at its end.
  HWY_INLINE LinesAhead Begin() {
    if (ahead_.at == ahead_.end && piece_ < n_pieces_) {
      ahead_.at = pieces_[piece_].begin;
      ahead_.end = ahead_.at + 64 * pieces_[piece_].lines;
      ++piece_;
    }
    return ahead_;
  }
  HWY_INLINE void End(const LinesAhead& ahead) { ahead_ = ahead; }

 private:
  struct Piece {
    const std::byte* begin;
    size_t lines;
  };
  static constexpr size_t kMaxPieces = 10;

  void AddPieces(const RowsView& rows) {
    ForArrays(rows, next_->first, next_->count, [&](const std::byte* begin, size_t bytes) {
      pieces_[n_pieces_++] = {begin, CeilDiv(bytes, 64)};
      n_lines_ += CeilDiv(bytes, 64);
    });
  }

  HWY_INLINE void Ask(size_t chunk) const {
    const size_t value_chunks = CeilDiv(run_.count, value_step_);
    if (chunk < key_chunks_) {
      AskOf(run_.keys, run_, chunk * key_step_, key_step_);
    } else if (chunk -= key_chunks_; chunk < value_chunks) {
      AskOf(run_.values, run_, chunk * value_step_, value_step_);
    } else if (chunk -= value_chunks; next_ != nullptr && chunk * key_step_ < next_->count) {
      AskOf(next_->keys, *next_, chunk * key_step_, key_step_);
    }
  }
  static HWY_INLINE void AskOf(const RowsView& rows, const TokenRun& run, size_t t, size_t n) {
    PrefetchRows(rows, run.first + t, HWY_MIN(n, run.count - t));
  }

  const TokenRun& run_;
  const TokenRun* next_;
  bool bursts_;
  size_t key_step_, value_step_;  // tokens
  size_t key_chunks_;
  Piece pieces_[kMaxPieces];  // of the next run
  size_t n_pieces_ = 0, n_lines_ = 0;
  size_t piece_ = 0;  // that comes next
  LinesAhead ahead_;
};

// One step by itself.
HWY_INLINE void StepAhead(RunMemory& memory) {
  LinesAhead ahead = memory.Begin();
  ahead.Step();
  memory.End(ahead);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_
