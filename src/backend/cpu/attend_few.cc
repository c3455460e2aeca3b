// Attention of few query rows (decoding): every key and value is read once, for all query heads of
// its group together.
#include <algorithm>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "base/tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attend_few.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/code_values-inl.h"
#include "backend/cpu/exp-inl.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/float_blocks-inl.h"
#include "backend/cpu/lane_dots-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "backend/cpu/sparse_dots-inl.h"

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
                          size_t n_rows, float* scores, size_t stride, float* tile) {
  const size_t width = keys.masks == nullptr ? keys.width : keys.head_dim;
  if (IsPlain(keys)) {
    WithFloatType(keys.type, keys.values, [&](const auto* values) HWY_ATTR {
      DotRowsWith(values + first * width, width, n, width, q, width, n_rows, scores, stride);
    });
  } else {
    const size_t row = RoundUp(width, 16);
    ExpandRows(keys, first, n, tile, row);
    DotRowsWith(tile, row, n, width, q, width, n_rows, scores, stride);
  }
}

// Scores of any number of tokens, `step` <= kTokenTile at a time. memory: see RunMemory. scratch:
// [FewQueryFloats(D)], then a tile. `prepared`: see AttendFew().
template <class Memory>
HWY_INLINE void ScoreChunks(const RowsView& keys, size_t first, size_t count, size_t step,
                            const float* q, size_t n_rows, bool prepared, float* scores,
                            size_t stride, float* scratch, Memory& memory) {
  const auto chunks = [&](const auto& score) HWY_ATTR {  // score(first token, n, where to)
    for (size_t t = 0; t < count; t += step) {
      memory.AskForKeys(t / step);
      score(first + t, HWY_MIN(step, count - t), scores + t);
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
    chunks([&](size_t t, size_t n, float* out) HWY_ATTR {
      StepAhead(memory);
      ScoreTile(keys, t, n, gathered, n_rows, out, stride, tile);
    });
  }
}

void ScoreRowsKernel(const RowsView& keys, size_t first, size_t count, const float* q,
                     size_t n_rows, float* scores, size_t stride, float* scratch) {
  NoMemory none;
  ScoreChunks(keys, first, count, kTokenTile, q, n_rows, false, scores, stride, scratch, none);
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
template <class Memory>
void SoftmaxRow(float* scores, size_t n, float scale, float& max, float& sum, Memory& memory) {
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
  auto ahead = memory.Begin();
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

// Values of n tokens as floats, token t's at rows + t * stride. Whole vectors of them are read,
// which the store's slack allows.
template <class T>
struct ValueRows {
  const T* rows;
  size_t stride;
  size_t n;
};
template <class T>
ValueRows(const T*, size_t, size_t) -> ValueRows<T>;

constexpr size_t kStepTokens = 4;  // values between two steps of LinesAhead

// out[r, j] = Σ_t p[r, t] v[t, j] for kRows rows and j < n_cols, beside what is there if `add`.
// out: [kRows, dim]
template <size_t kRows, class T, class Memory>
HWY_NOINLINE void WeightedRows(const float* p, size_t stride, const ValueRows<T>& values,
                               size_t n_cols, size_t dim, bool add, float* out, Memory& memory) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t n = values.n;
  auto ahead = memory.Begin();
  for (size_t j = 0; j < n_cols; j += 2 * lanes) {
    const T* v = values.rows + j;
    const bool two = j + lanes < n_cols;
    const auto old0 = [&](size_t r) HWY_ATTR {
      return add && r < kRows ? hn::LoadN(df, out + r * dim + j, n_cols - j) : hn::Zero(df);
    };
    const auto old1 = [&](size_t r) HWY_ATTR {
      if (!add || !two || r >= kRows) return hn::Zero(df);
      return hn::LoadN(df, out + r * dim + j + lanes, n_cols - j - lanes);
    };
    FloatVec c00 = old0(0), c10 = old0(1), c20 = old0(2), c30 = old0(3);
    FloatVec c01 = old1(0), c11 = old1(1), c21 = old1(2), c31 = old1(3);
    for (size_t t = 0; t < n; t += kStepTokens) {
      ahead.Step();
      const T* vt = v + t * values.stride;
      const size_t n_t = HWY_MIN(kStepTokens, n - t);
      if (two) {
        OuterBlock<kRows, true>(n_t, p + t, stride, 1, vt, vt + lanes, values.stride, c00, c10, c20,
                                c30, c01, c11, c21, c31);
      } else {
        OuterBlock<kRows, false>(n_t, p + t, stride, 1, vt, vt, values.stride, c00, c10, c20, c30,
                                 c01, c11, c21, c31);
      }
    }
    const auto store = [&](size_t r, FloatVec c0, FloatVec c1) HWY_ATTR {
      StoreUpTo(df, c0, out + r * dim + j, n_cols - j);
      if (two) StoreUpTo(df, c1, out + r * dim + j + lanes, n_cols - j - lanes);
    };
    store(0, c00, c01);
    if constexpr (kRows > 1) store(1, c10, c11);
    if constexpr (kRows > 2) store(2, c20, c21);
    if constexpr (kRows > 3) store(3, c30, c31);
  }
  memory.End(ahead);
}

template <class T, class Memory>
HWY_INLINE void WeightedTile(const float* p, size_t n_rows, size_t stride,
                             const ValueRows<T>& values, size_t n_cols, size_t dim, bool add,
                             float* out, Memory& memory) {
  for (size_t r = 0; r < n_rows;) {
    const size_t rest = n_rows - r;
    const float* pr = p + r * stride;
    float* row = out + r * dim;
    if (rest >= 4) {
      WeightedRows<4>(pr, stride, values, n_cols, dim, add, row, memory);
      r += 4;
    } else if (rest == 3) {
      WeightedRows<3>(pr, stride, values, n_cols, dim, add, row, memory);
      r += 3;
    } else {
      WeightedRows<1>(pr, stride, values, n_cols, dim, add, row, memory);
      r += 1;
    }
  }
}

// The same of q8_0 values: codes count as they are, and scales go into p, group by group.
// scratch: room for D floats a token.
template <class Memory>
void AddCodeValues(const RowsView& values, size_t first, size_t n, const float* p, size_t n_rows,
                   size_t stride, bool add, float* scratch, float* out, Memory& memory) {
  const FloatTag df;
  const size_t dim = values.head_dim;
  const size_t lanes = hn::Lanes(df);
  const std::byte* rows = values.values + first * values.row_bytes;
  const auto* codes = reinterpret_cast<const int8_t*>(rows + PackedScaleBytes(values.type, dim));
  // All scales first: a vector that is loaded right behind the stores of its parts has to wait.
  auto* scales = reinterpret_cast<F16*>(scratch);  // [groups, kTokenTile]
  const size_t groups = CeilDiv(dim, kScaleGroup);
  for (size_t g = 0; g < groups; ++g) {
    for (size_t t = 0; t < n; ++t) {
      std::memcpy(scales + g * kTokenTile + t, rows + t * values.row_bytes + g * sizeof(F16),
                  sizeof(F16));
    }
  }
  float* scaled = scratch + groups * kTokenTile / 2;  // [n_rows, kTokenTile]
  for (size_t g = 0; g < groups; ++g) {
    const auto* group_scales = reinterpret_cast<const hwy::float16_t*>(scales + g * kTokenTile);
    for (size_t t = 0; t < n; t += lanes) {
      const FloatVec scale = LoadFloats(df, group_scales + t);
      for (size_t r = 0; r < n_rows; ++r) {
        // Scores have room for whole vectors behind the last token.
        hn::StoreU(hn::Mul(scale, hn::LoadU(df, p + r * stride + t)), df,
                   scaled + r * kTokenTile + t);
      }
    }
    const size_t j = g * kScaleGroup;
    const ValueRows<int8_t> group{codes + j, values.row_bytes, n};
    WeightedTile(scaled, n_rows, kTokenTile, group, HWY_MIN(kScaleGroup, dim - j), dim, add,
                 out + j, memory);
  }
}

// out[r, j] = Σ_t p[r, t] v[t, j] over at most kTokenTile tokens, beside what is there if `add`.
template <class Memory>
HWY_INLINE void AddValues(const RowsView& values, size_t first, size_t n, const float* p,
                          size_t n_rows, size_t stride, bool add, float* tile, float* out,
                          Memory& memory) {
  const size_t dim = values.head_dim;
  if (IsPlain(values)) {
    WithFloatType(values.type, values.values, [&](const auto* rows) HWY_ATTR {
      WeightedTile(p, n_rows, stride, ValueRows{rows + first * dim, dim, n}, dim, dim, add, out,
                   memory);
    });
  } else if (values.masks == nullptr && values.type == DType::kQ8_0) {
    AddCodeValues(values, first, n, p, n_rows, stride, add, tile, out, memory);
  } else {
    const size_t row = RoundUp(dim, 16);
    ExpandRows(values, first, n, tile, row);
    const float* rows = tile;
    WeightedTile(p, n_rows, stride, ValueRows{rows, row, n}, dim, dim, add, out, memory);
  }
}

// Which share of the next run's memory is asked for while scores and softmax weights are made; the
// rest while values are summed. About what these take of the time.
constexpr double kKeyShare = 0.35;
constexpr double kSoftmaxShare = 0.25;

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

// Steps of LinesAhead that AddValues() takes for n tokens, about.
size_t ValueSteps(const RowsView& values, size_t n, size_t n_rows) {
  return CeilDiv(n, kStepTokens) * CeilDiv(values.head_dim, 2 * hn::Lanes(FloatTag())) *
         CeilDiv(n_rows, size_t{4});
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
  const bool lanes = run.keys.lanes != nullptr;
  memory.Pace(kKeyShare, CeilDiv(run.count, lanes ? LaneLayout::kTokens : memory.key_step()));
  ScoreChunks(run.keys, run.first, run.count, memory.key_step(), queries.q, n_rows, prepared,
              scores, stride, rest, memory);
  memory.Pace(kSoftmaxShare, n_rows * CeilDiv(run.count, hn::Lanes(FloatTag())));
  SoftmaxRows(queries, run, scores, stride, out, memory);
  const auto chunks = [&](size_t step, const auto& add) HWY_ATTR {  // add(first in the run, n)
    for (size_t t = 0; t < run.count; t += step) {
      memory.AskForValues(t / step);
      add(t, HWY_MIN(step, run.count - t));
    }
  };
  const double value_share = 1 - kKeyShare - kSoftmaxShare;
  if (CodeValues::Takes(run.values)) {
    memory.Pace(value_share, CodeValues::Steps(run.count, n_rows, queries.head_dim));
    CodeValues sums(run.values, n_rows, tile);
    chunks(memory.bursts() ? memory.value_step() : CodeValues::kTokens,
           [&](size_t t, size_t n)
               HWY_ATTR { sums.Add(run.first + t, n, scores + t, stride, memory); });
    sums.Finish(out.values);
  } else {
    memory.Pace(value_share, ValueSteps(run.values, run.count, n_rows));
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
