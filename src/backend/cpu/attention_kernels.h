// What the attention kernels are given, and the kernels. All of them compute a partial attention:
// the softmax-weighted sum of values over some tokens, with the maximum and the sum that are needed
// to put partial results together (online softmax).
#ifndef SPARK_BACKEND_CPU_ATTENTION_KERNELS_H_
#define SPARK_BACKEND_CPU_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/tiles.h"
#include "kv/kv_cache.h"

namespace spark {

// Keys or values of a store, without its type: the arrays, null if there are none.
struct RowsView {
  DType type;               // of stored values
  size_t head_dim;          // D
  size_t width;             // stored values a token: D, or T of a dropped or uniform sparse store
  size_t row_bytes;         // a packed row of them
  const std::byte* values;  // [n] packed rows (kv/packed_row.h), one after the other

  const uint16_t* channels = nullptr;  // dropped store: [width], channel of each value

  const uint8_t* masks = nullptr;  // sparse store, see kv/sparse_store.h
  const uint8_t* signs = nullptr;  // null: pruned channels are scalar * fill
  const float* fill = nullptr;
  const std::byte* scalars = nullptr;  // null: pruned channels are 0
  DType scalar_type = DType::kF32;
  const uint32_t* offsets = nullptr;     // null: every token keeps `width` channels
  const float* centre = nullptr;         // added to every token, unless null
  const SparseStore* sampled = nullptr;  // not null: read its rows, the arrays do not say it all
  const LaneStore* lanes = nullptr;      // not null: all that is said above `masks` are D and T
};
RowsView ViewOf(const DenseStore& rows);
RowsView ViewOf(const DroppedKeyStore& keys);
RowsView ViewOf(const SparseStore& rows);
RowsView ViewOf(const LaneStore& keys);

// Bytes that a token takes in these arrays, about.
size_t TokenBytes(const RowsView& rows);

// Tokens [first, first + count) of a segment or of the tail.
struct TokenRun {
  RowsView keys;
  RowsView values;
  size_t first = 0;
  size_t count = 0;
  // Which of them a query sees. All, unless the run is causal (the tail): then those before
  // QueryTile::ends; or it is cut by a window: then those from QueryTile::begins on.
  bool causal = false;
  bool windowed = false;
  size_t first_position = 0;              // of the store's token 0, if it has no gaps,
  std::span<const uint32_t> positions{};  // else those of all its tokens, ascending
};

// Query rows that share a KV head, at most kMaxQueryRows.
struct QueryTile {
  const float* q;  // [n_rows, D]
  size_t n_rows;
  size_t head_dim;
  const uint32_t* begins;  // [n_rows] row r sees positions [begins[r], ends[r])
  const uint32_t* ends;
  ScoreScale scale;
};

// The tokens of a run that a query row sees, numbered as in the store; `first` <= `end`.
struct VisibleTokens {
  size_t first;
  size_t end;
};
VisibleTokens Visible(const TokenRun& run, const QueryTile& queries, size_t row);

// Scores that count as masked: below any real score, but finite, so that differences of two
// of them are no NaN. A partial result of masked tokens only has this maximum; its weight beside
// one with a real token is exp(kMasked - real) = 0, whatever its sum and values are.
inline constexpr float kMasked = -1e38f;

struct Partial {
  float* max;     // [n_rows] largest scaled score
  float* sum;     // [n_rows] Σ_t exp(score - max)
  float* values;  // [n_rows, D] Σ_t exp(score - max) v[t]
};

inline constexpr size_t kFewQueryRows = 8;   // up to this many, AttendFew() is faster
inline constexpr size_t kMaxQueryRows = 64;  // of a tile
inline constexpr size_t kTokenTile = 64;     // tokens that are expanded at a time
inline constexpr size_t kExpandedAhead = 8;  // tokens whose kept values are unpacked at a time
// Room for a tile and for working memory.
inline constexpr size_t kScratchRows = kTokenTile + kExpandedAhead;
inline constexpr size_t kMaxFewTokens = 512;  // of a run given to AttendFew()

// Floats of memory for what AttendFew() makes of its queries before it meets the keys: of each row
// 6 bytes a channel for LaneQuery, or 4 for SparseQuery, which takes 4 more of one row.
constexpr size_t FewQueryFloats(size_t head_dim) {
  return (2 * kFewQueryRows + 1) * RoundUp(head_dim, 64) + 4 * kFewQueryRows;
}

// Bytes of scratch memory, 64-byte aligned, that each of the kernels below may use.
size_t AttentionScratchBytes(size_t head_dim);

// Unscaled scores of tokens [first, first + count). q: [n_rows, D], row r's scores at
// scores + r * stride. n_rows <= kFewQueryRows.
void ScoreRows(const RowsView& keys, size_t first, size_t count, const float* q, size_t n_rows,
               float* scores, size_t stride, std::byte* scratch);

// Vectors along channels; at most kFewQueryRows rows and kMaxFewTokens tokens. `next`, unless null,
// is the run that the thread takes after this one. `prepared`: the call before this one with the
// same scratch memory had the same queries, and keys of the same store, so what it made of the
// queries is there.
void AttendFew(const QueryTile& queries, const TokenRun& run, const TokenRun* next, bool prepared,
               std::byte* scratch, const Partial& out);

// Vectors along query rows; any number of tokens, expanded kTokenTile at a time.
void AttendMany(const QueryTile& queries, std::span<const TokenRun> runs, std::byte* scratch,
                const Partial& out);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_ATTENTION_KERNELS_H_
