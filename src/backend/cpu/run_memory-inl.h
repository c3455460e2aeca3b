// Asks for the memory of a run of tokens before it is read, in the order of its use.
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
#include "backend/cpu/code_values-inl.h"
#include "backend/cpu/tiles.h"
#include "backend/cpu/weight_memory-inl.h"
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

// Asks for tokens [first, first + n) of a store at once, all arrays. Where rows differ in length,
// what the first one tells is the guess; it costs nothing to be wrong.
HWY_INLINE void PrefetchRows(const RowsView& rows, size_t first, size_t n) {
  if (rows.lanes != nullptr) {
    const std::byte* tile = rows.lanes->Tile(first / LaneLayout::kTokens);
    Prefetch(tile, CeilDiv(n, LaneLayout::kTokens) * rows.lanes->layout().tile_bytes());
    return;
  }
  if (rows.offsets == nullptr) {
    Prefetch(rows.values + first * rows.row_bytes, n * rows.row_bytes);
  } else {
    const uint32_t* offsets = rows.offsets + first / SparseStore::kOffsetTokens;
    Prefetch(rows.values + offsets[0], n * rows.head_dim / 4);
  }
  if (rows.masks == nullptr) return;
  const size_t mask_bytes = MaskBytes(rows.head_dim);
  const auto plane = [&](const uint8_t* bits) {
    Prefetch(reinterpret_cast<const std::byte*>(bits) + first * mask_bytes, n * mask_bytes);
  };
  plane(rows.masks);
  if (rows.signs != nullptr) plane(rows.signs);
  if (rows.scalars != nullptr) {
    const size_t bytes = PackedRowBytes(rows.scalar_type, 1);
    Prefetch(rows.scalars + first * bytes, n * bytes);
  }
}

// Bytes of memory that are asked for at once, and how many times as many are under way. A burst
// larger than what the processor keeps track of (some 40 lines) stalls it, single lines between the
// work of many tokens get half the speed.
constexpr size_t kBurstBytes = 3072;
constexpr size_t kBurstsAhead = 2;

// Tokens of a burst.
inline size_t BurstTokens(const RowsView& rows) {
  size_t bytes = rows.offsets == nullptr ? rows.row_bytes : rows.head_dim / 4;
  if (rows.lanes != nullptr) bytes = rows.lanes->layout().tile_bytes() / LaneLayout::kTokens;
  if (rows.masks != nullptr) bytes += 2 * MaskBytes(rows.head_dim) + sizeof(F16);
  const size_t tokens = kBurstBytes / HWY_MAX(bytes, size_t{1}) / 16 * 16;
  return HWY_MIN(HWY_MAX(tokens, size_t{16}), kTokenTile);
}

// The memory of a run in the order of its use: keys, values, the keys of the next run, in chunks of
// a burst each.
struct RunMemory {
  RunMemory(const TokenRun& run_in, const TokenRun* next_in)
      : run(run_in),
        next(next_in),
        key_step(BurstTokens(run.keys)),
        value_step(BurstTokens(run.values)),
        key_chunks(CeilDiv(run.count, key_step)),
        value_chunks(CeilDiv(run.count, value_step)),
        keys_in_step(!kBursts && run.keys.lanes != nullptr),
        values_in_step(!kBursts && CodeValues::Takes(run.values)) {}

  HWY_INLINE void Ask(size_t chunk) const {
    if (chunk < key_chunks) {
      if (!keys_in_step) AskOf(run.keys, run, chunk * key_step, key_step);
    } else if (chunk -= key_chunks; chunk < value_chunks) {
      if (!values_in_step) AskOf(run.values, run, chunk * value_step, value_step);
    } else if (chunk -= value_chunks; next != nullptr && chunk * key_step < next->count) {
      if (!keys_in_step) AskOf(next->keys, *next, chunk * key_step, key_step);
    }
  }
  static HWY_INLINE void AskOf(const RowsView& rows, const TokenRun& run, size_t t, size_t n) {
    PrefetchRows(rows, run.first + t, HWY_MIN(n, run.count - t));
  }

  const TokenRun& run;
  const TokenRun* next;
  size_t key_step, value_step;  // tokens
  size_t key_chunks, value_chunks;
  // Where bursts are no good, kernels that can ask in step with their work, each for its own rows:
  // those of the next run lie behind those of this one.
  bool keys_in_step, values_in_step;
};

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_RUN_MEMORY_INL_H_
