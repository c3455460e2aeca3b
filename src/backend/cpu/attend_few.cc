// Attention of few query rows (decoding): every key and value is read once, for all query heads of
// its group together.
#include <algorithm>

#include "backend/cpu/attention_kernels.h"
#include "base/tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attend_few.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/code_values-inl.h"
#include "backend/cpu/dot_rows-inl.h"
#include "backend/cpu/exp-inl.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/lane_dots-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "backend/cpu/sparse_dots-inl.h"
#include "backend/cpu/weighted_values-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The channels of q that a dropped store kept; q itself for other stores.
const float* GatherQuery(const RowsView& keys, const float* q, size_t n_rows, float* gathered) {
  if (keys.channels == nullptr) return q;
  for (size_t r = 0; r < n_rows; ++r) {
    for (size_t i = 0; i < keys.width; ++i) {
      gathered[r * keys.width + i] = q[r * keys.head_dim + keys.channels[i]];
    }
  }
  return gathered;
}

// Scores of at most kTokenTile tokens with q: [n_rows, width], see GatherQuery(). Plain stores are
// read as they lie, others through a tile of expanded tokens, unless SparseDots() takes them.
HWY_INLINE void ScoreTile(const RowsView& keys, size_t first, size_t n, const float* q,
                          size_t n_rows, float* scores, size_t stride, float* tile,
                          RunMemory& memory) {
  const size_t width = keys.masks == nullptr ? keys.width : keys.head_dim;
  if (IsPlain(keys)) {
    WithFloatType(keys.type, keys.values, [&](const auto* values) HWY_ATTR {
      DotRowsWith(values + first * width, width, n, width, q, width, n_rows, scores, stride,
                  memory);
    });
  } else {
    const size_t row = RoundUp(width, 16);
    ExpandRows(keys, first, n, tile, row);
    DotRowsWith(tile, row, n, width, q, width, n_rows, scores, stride, memory);
  }
}

// Scores of a run's tokens, memory.key_step() <= kTokenTile at a time. scratch:
// [FewQueryFloats(D)], then a tile. `prepared`: see AttendFew().
HWY_INLINE void ScoreChunks(const TokenRun& run, const float* q, size_t n_rows, bool prepared,
                            float* scores, size_t stride, float* scratch, RunMemory& memory) {
  const RowsView& keys = run.keys;
  const size_t step = memory.key_step();
  const auto chunks = [&](const auto& score) HWY_ATTR {  // score(first token, n, where to)
    for (size_t t = 0; t < run.count; t += step) {
      memory.AskForKeys(t / step);
      score(run.first + t, HWY_MIN(step, run.count - t), scores + t);
    }
  };
  if (HasLaneDots(keys)) {
    const LaneQuery query = MakeLaneQuery(keys, q, n_rows, prepared, scratch);
    chunks([&](size_t t, size_t n, float* out)
               HWY_ATTR { LaneDots(keys, t, n, query, n_rows, out, stride, memory); });
  } else if (HasSparseDots(keys)) {
    const SparseQuery query = MakeSparseQuery(keys, q, n_rows, prepared, scratch);
    chunks([&](size_t t, size_t n, float* out) HWY_ATTR {
      StepAhead(memory);
      SparseDots(keys, t, n, query, n_rows, out, stride);
    });
  } else {
    float* tile = scratch + FewQueryFloats(keys.head_dim);
    const float* gathered = GatherQuery(keys, q, n_rows, scratch);
    chunks([&](size_t t, size_t n, float* out)
               HWY_ATTR { ScoreTile(keys, t, n, gathered, n_rows, out, stride, tile, memory); });
  }
}

void ScoreRowsKernel(const RowsView& keys, size_t first, size_t count, const float* q,
                     size_t n_rows, float* scores, size_t stride, float* scratch) {
  const TokenRun run = {.keys = keys, .values = {}, .first = first, .count = count};
  RunMemory memory(run, nullptr);
  ScoreChunks(run, q, n_rows, false, scores, stride, scratch, memory);
}

// Scores s to cap * tanh(scale * s / cap), in place.
void CapRow(float* scores, size_t n, const ScoreScale& scale) {
  const FloatTag df;
  const FloatVec unit = hn::Set(df, scale.scale / scale.softcap);
  const FloatVec cap = hn::Set(df, scale.softcap);
  for (size_t t = 0; t < n; t += hn::Lanes(df)) {
    const FloatVec s = hn::Mul(hn::LoadN(df, scores + t, n - t), unit);
    StoreUpTo(df, hn::Mul(Tanh(df, s), cap), scores + t, n - t);
  }
}

// Scores to exp(scale * score - maximum), in place. Reads whole vectors, for which the row has
// room.
void SoftmaxRow(float* scores, size_t n, float scale, float& max, float& sum, RunMemory& memory) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const FloatVec unit = hn::Set(df, scale);
  const FloatVec masked = hn::Set(df, kMasked);
  const size_t whole = n / lanes * lanes;
  const auto valid = hn::FirstN(df, n - whole);
  const auto scaled = [&](size_t t) HWY_ATTR { return hn::Mul(hn::LoadU(df, scores + t), unit); };
  FloatVec largest = masked;
  for (size_t t = 0; t < whole; t += lanes) largest = hn::Max(largest, scaled(t));
  if (whole < n) largest = hn::Max(largest, hn::IfThenElse(valid, scaled(whole), masked));
  max = hn::ReduceMax(df, largest);
  const FloatVec shift = hn::Set(df, max);
  FloatVec total = hn::Zero(df);
  LinesAhead ahead = memory.Begin();
  for (size_t t = 0; t < whole; t += lanes) {
    ahead.Step();
    const FloatVec p = Exp(df, hn::Sub(scaled(t), shift));
    total = hn::Add(total, p);
    hn::StoreU(p, df, scores + t);
  }
  memory.End(ahead);
  if (whole < n) {
    const FloatVec p = hn::IfThenElseZero(valid, Exp(df, hn::Sub(scaled(whole), shift)));
    total = hn::Add(total, p);
    hn::StoreN(p, df, scores + whole, n - whole);
  }
  sum = hn::ReduceSum(df, total);
}

// Which shares of the next run's memory are asked for while scores, softmax weights and sums of
// values are made: about what these take of the time. A softmax weight costs about as much as 20
// channels of the other two, whose shares are much the same.
struct MemoryShares {
  explicit MemoryShares(size_t head_dim)
      : softmax(20 / (20 + static_cast<double>(head_dim))), keys(0.47 * (1 - softmax)) {}

  double softmax, keys;
  double values() const { return 1 - softmax - keys; }
};

// Scores in place of which their softmax weights are left, 0 for tokens that a row does not see.
HWY_INLINE void SoftmaxRows(const QueryTile& queries, const TokenRun& run, float* scores,
                            size_t stride, const Partial& out, RunMemory& memory) {
  for (size_t r = 0; r < queries.n_rows; ++r) {
    const VisibleTokens seen = Visible(run, queries, r);
    float* row = scores + r * stride;
    float* begin = row + (seen.first - run.first);
    const size_t n = seen.end - seen.first;
    const ScoreScale& scale = queries.scale;
    if (scale.softcap > 0) CapRow(begin, n, scale);
    SoftmaxRow(begin, n, scale.softcap > 0 ? 1.0f : scale.scale, out.max[r], out.sum[r], memory);
    std::fill(row, begin, 0.0f);
    std::fill(begin + n, row + run.count, 0.0f);
  }
}

// Steps of LinesAhead that ScoreChunks() takes, about.
size_t KeySteps(const TokenRun& run, size_t step) {
  if (HasLaneDots(run.keys)) return LaneSteps(run.keys.lanes->layout(), run.count);
  return CeilDiv(run.count, HasSparseDots(run.keys) ? step : kDotRowsStep);
}

// Keys of all tokens, then their values.
void AttendFewKernel(const QueryTile& queries, const TokenRun& run, const TokenRun* next,
                     bool prepared, float* scratch, const Partial& out) {
  const size_t n_rows = queries.n_rows;
  const size_t stride = kMaxFewTokens;
  float* scores = scratch;  // [n_rows, kMaxFewTokens]
  float* rest = scratch + kFewQueryRows * stride;
  float* tile = rest + FewQueryFloats(queries.head_dim);
  RunMemory memory(run, next);
  const MemoryShares shares(queries.head_dim);
  memory.Pace(shares.keys, KeySteps(run, memory.key_step()));
  ScoreChunks(run, queries.q, n_rows, prepared, scores, stride, rest, memory);
  memory.Pace(shares.softmax, n_rows * CeilDiv(run.count, hn::Lanes(FloatTag())));
  SoftmaxRows(queries, run, scores, stride, out, memory);
  const auto chunks = [&](size_t step, const auto& add) HWY_ATTR {  // add(first in the run, n)
    for (size_t t = 0; t < run.count; t += step) {
      memory.AskForValues(t / step);
      add(t, HWY_MIN(step, run.count - t));
    }
  };
  if (CodeValues::Takes(run.values)) {
    memory.Pace(shares.values(), CodeValues::Steps(run.count, n_rows, queries.head_dim));
    CodeValues sums(run.values, n_rows, tile);
    chunks(memory.bursts() ? memory.value_step() : CodeValues::kTokens,
           [&](size_t t, size_t n)
               HWY_ATTR { sums.Add(run.first + t, n, scores + t, stride, memory); });
    sums.Finish(out.values);
  } else {
    memory.Pace(shares.values(), ValueSteps(run.values, run.count, n_rows));
    chunks(memory.value_step(), [&](size_t t, size_t n) HWY_ATTR {
      AddValues(run.values, run.first + t, n, scores + t, n_rows, stride, t > 0, tile, out.values,
                memory);
    });
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(ScoreRowsKernel);
HWY_EXPORT(AttendFewKernel);

void ScoreRows(const RowsView& keys, size_t first, size_t count, const float* q, size_t n_rows,
               float* scores, size_t stride, std::byte* scratch) {
  HWY_DYNAMIC_DISPATCH(ScoreRowsKernel)
  (keys, first, count, q, n_rows, scores, stride, reinterpret_cast<float*>(scratch));
}
void AttendFew(const QueryTile& queries, const TokenRun& run, const TokenRun* next, bool prepared,
               std::byte* scratch, const Partial& out) {
  HWY_DYNAMIC_DISPATCH(AttendFewKernel)
  (queries, run, next, prepared, reinterpret_cast<float*>(scratch), out);
}

}  // namespace spark
#endif  // HWY_ONCE
