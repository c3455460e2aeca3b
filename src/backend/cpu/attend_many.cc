// Attention of many query rows (prefill, long questions): tokens are expanded to a tile of f32 rows
// that stays in the cache, and both products are register-blocked. A vector lane is a query row, so
// softmax and causal masking need no sums across lanes, and neither keys nor values are transposed.
#include <algorithm>

#include "backend/cpu/attention_kernels.h"
#include "base/tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attend_many.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/exp-inl.h"
#include "backend/cpu/expand_rows-inl.h"
#include "backend/cpu/float_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Working memory of a tile of query rows. A panel is as many of them as there are lanes; whatever
// is "[panels, n]" has n vectors for each panel.
struct ManyScratch {
  size_t n_panels;
  size_t dim;     // D
  size_t padded;  // D rounded up to 16
  float* q;       // [panels, D]
  float* out;     // [panels, padded] Σ p v so far
  float* scores;  // [panels, kTokenTile] scores, then p
  float* gather;  // [panels, width] the channels of q that a dropped store kept
  float* max;     // [panels]
  float* sum;     // [panels]
  float* shrink;  // [panels] factor of what was summed before this tile
  float* begins;  // [panels] the tokens of a run that a row sees: [begins, ends)
  float* ends;    // [panels]
  float* keys;    // [kScratchRows, padded], some slack: see ExpandRows()
  float* values;  // the same
};

ManyScratch Carve(float* p, size_t dim) {
  const size_t padded = RoundUp(dim, 16);
  const auto take = [&](size_t n) {
    float* start = p;
    p += RoundUp(n, 16);
    return start;
  };
  ManyScratch s;
  s.n_panels = 0;
  s.dim = dim;
  s.padded = padded;
  s.q = take(kMaxQueryRows * dim);
  s.out = take(kMaxQueryRows * padded);
  s.scores = take(kMaxQueryRows * kTokenTile);
  s.gather = take(kMaxQueryRows * dim);
  s.max = take(kMaxQueryRows);
  s.sum = take(kMaxQueryRows);
  s.shrink = take(kMaxQueryRows);
  s.begins = take(kMaxQueryRows);
  s.ends = take(kMaxQueryRows);
  s.keys = take(kScratchRows * padded + 16);
  s.values = take(kScratchRows * padded + 16);
  return s;
}

// A tile of keys and values as f32 rows: in place if they are stored so, else expanded.
struct TokenTile {
  const float* keys;
  size_t key_stride;
  const float* values;
  size_t value_stride;
  size_t n;
};

// Rows [first, first + n) as f32, and the distance between them: in place if they lie so and
// `in_place`, else in `out`.
const float* FloatRows(const RowsView& rows, size_t first, size_t n, bool in_place, float* out,
                       size_t& stride) {
  if (!IsPlain(rows)) {
    stride = RoundUp(rows.masks == nullptr ? rows.width : rows.head_dim, 16);
    ExpandRows(rows, first, n, out, stride);
    return out;
  }
  stride = rows.width;
  if (in_place && rows.type == DType::kF32) {
    return reinterpret_cast<const float*>(rows.values) + first * stride;
  }
  WithFloatType(rows.type, rows.values, [&](const auto* values) HWY_ATTR {
    ExpandFloats(values + first * stride, n * stride, out);
  });
  return out;
}

TokenTile ExpandTile(const TokenRun& run, size_t first, size_t n, const ManyScratch& s) {
  TokenTile tile{};
  tile.n = n;
  // Keys are read in blocks of four, so rows that end inside one must be in the scratch.
  tile.keys = FloatRows(run.keys, first, n, n % 4 == 0, s.keys, tile.key_stride);
  tile.values = FloatRows(run.values, first, n, true, s.values, tile.value_stride);
  return tile;
}

// scores[panel, t] = key t · query rows of the panel. q: [panels, width]
template <bool kTwo>
HWY_INLINE void ScorePanels(const TokenTile& tile, const float* q, size_t width, float* scores) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  float* scores1 = scores + kTokenTile * lanes;
  for (size_t t = 0; t < tile.n; t += 4) {
    FloatVec c00 = hn::Zero(df), c10 = c00, c20 = c00, c30 = c00;
    FloatVec c01 = c00, c11 = c00, c21 = c00, c31 = c00;
    OuterBlock<4, kTwo>(width, tile.keys + t * tile.key_stride, tile.key_stride, 1, q,
                        q + width * lanes, lanes, c00, c10, c20, c30, c01, c11, c21, c31);
    const auto store = [&](size_t i, FloatVec c0, FloatVec c1) HWY_ATTR {
      hn::StoreU(c0, df, scores + (t + i) * lanes);
      if constexpr (kTwo) hn::StoreU(c1, df, scores1 + (t + i) * lanes);
    };
    store(0, c00, c01);
    store(1, c10, c11);
    store(2, c20, c21);
    store(3, c30, c31);
  }
}

void Scores(const TokenTile& tile, const float* q, size_t width, const ManyScratch& s) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t p = 0; p < s.n_panels; p += 2) {
    const float* qp = q + p * width * lanes;
    float* scores = s.scores + p * kTokenTile * lanes;
    if (p + 1 < s.n_panels) {
      ScorePanels<true>(tile, qp, width, scores);
    } else {
      ScorePanels<false>(tile, qp, width, scores);
    }
  }
}

// Scores to p = exp(scale * score - max), with the maximum of all tokens so far; `shrink` corrects
// what was summed with the old one. kMask: rows see tokens [begins, ends) only, of which `first` is
// the number of the first one here.
template <bool kMask>
HWY_INLINE void SoftmaxPanel(size_t panel, size_t n, float scale, float first,
                             const ManyScratch& s) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  float* scores = s.scores + panel * kTokenTile * lanes;
  const FloatVec unit = hn::Set(df, scale);
  const FloatVec begin = hn::LoadU(df, s.begins + panel * lanes);
  const FloatVec end = hn::LoadU(df, s.ends + panel * lanes);
  const FloatVec old_max = hn::LoadU(df, s.max + panel * lanes);
  FloatVec max = old_max;
  for (size_t t = 0; t < n; ++t) {
    FloatVec score = hn::Mul(hn::LoadU(df, scores + t * lanes), unit);
    if constexpr (kMask) {
      const FloatVec token = hn::Set(df, first + static_cast<float>(t));
      const auto visible = hn::And(hn::Ge(token, begin), hn::Lt(token, end));
      score = hn::IfThenElse(visible, score, hn::Set(df, kMasked));
    }
    max = hn::Max(max, score);
    hn::StoreU(score, df, scores + t * lanes);
  }
  const FloatVec shrink = Exp(df, hn::Sub(old_max, max));
  FloatVec sum = hn::Mul(hn::LoadU(df, s.sum + panel * lanes), shrink);
  for (size_t t = 0; t < n; ++t) {
    const FloatVec p = Exp(df, hn::Sub(hn::LoadU(df, scores + t * lanes), max));
    sum = hn::Add(sum, p);
    hn::StoreU(p, df, scores + t * lanes);
  }
  hn::StoreU(max, df, s.max + panel * lanes);
  hn::StoreU(sum, df, s.sum + panel * lanes);
  hn::StoreU(shrink, df, s.shrink + panel * lanes);
}

// out[panel, j] = out * shrink + Σ_t v[t, j] p[t]
template <bool kTwo>
HWY_INLINE void WeightedPanels(const TokenTile& tile, size_t panel, const ManyScratch& s) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const float* p0 = s.scores + panel * kTokenTile * lanes;
  float* out0 = s.out + panel * s.padded * lanes;
  float* out1 = out0 + s.padded * lanes;
  const FloatVec shrink0 = hn::LoadU(df, s.shrink + panel * lanes);
  const FloatVec shrink1 = kTwo ? hn::LoadU(df, s.shrink + (panel + 1) * lanes) : shrink0;
  for (size_t j = 0; j < s.dim; j += 4) {
    const auto old0 = [&](size_t i) HWY_ATTR {
      return hn::Mul(shrink0, hn::LoadU(df, out0 + (j + i) * lanes));
    };
    const auto old1 = [&](size_t i) HWY_ATTR {
      return kTwo ? hn::Mul(shrink1, hn::LoadU(df, out1 + (j + i) * lanes)) : hn::Zero(df);
    };
    FloatVec c00 = old0(0), c10 = old0(1), c20 = old0(2), c30 = old0(3);
    FloatVec c01 = old1(0), c11 = old1(1), c21 = old1(2), c31 = old1(3);
    OuterBlock<4, kTwo>(tile.n, tile.values + j, 1, tile.value_stride, p0, p0 + kTokenTile * lanes,
                        lanes, c00, c10, c20, c30, c01, c11, c21, c31);
    const auto store = [&](size_t i, FloatVec c0, FloatVec c1) HWY_ATTR {
      hn::StoreU(c0, df, out0 + (j + i) * lanes);
      if constexpr (kTwo) hn::StoreU(c1, df, out1 + (j + i) * lanes);
    };
    store(0, c00, c01);
    store(1, c10, c11);
    store(2, c20, c21);
    store(3, c30, c31);
  }
}

void WeightedValues(const TokenTile& tile, const ManyScratch& s) {
  for (size_t p = 0; p < s.n_panels; p += 2) {
    if (p + 1 < s.n_panels) {
      WeightedPanels<true>(tile, p, s);
    } else {
      WeightedPanels<false>(tile, p, s);
    }
  }
}

// Queries into panels; rows that are missing in the last one are 0 and see nothing.
void PackQueries(const QueryTile& queries, ManyScratch& s) {
  const size_t lanes = hn::Lanes(FloatTag());
  s.n_panels = CeilDiv(queries.n_rows, lanes);
  const size_t rows = s.n_panels * lanes;
  for (size_t r = 0; r < rows; ++r) {
    const bool real = r < queries.n_rows;
    float* q = s.q + r / lanes * s.dim * lanes + r % lanes;
    for (size_t j = 0; j < s.dim; ++j) q[j * lanes] = real ? queries.q[r * s.dim + j] : 0.0f;
  }
  std::fill_n(s.max, rows, kMasked);
  std::fill_n(s.sum, rows, 0.0f);
  std::fill_n(s.out, rows * s.padded, 0.0f);
}

// The channels that a dropped store kept, so that its rows can be taken as they lie.
void GatherQueries(const RowsView& keys, const ManyScratch& s) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t p = 0; p < s.n_panels; ++p) {
    for (size_t i = 0; i < keys.width; ++i) {
      const float* from = s.q + (p * s.dim + keys.channels[i]) * lanes;
      std::copy_n(from, lanes, s.gather + (p * keys.width + i) * lanes);
    }
  }
}

// Scores s to cap * tanh(scale * s / cap), in place.
void CapScores(const TokenTile& tile, const ScoreScale& scale, const ManyScratch& s) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const FloatVec unit = hn::Set(df, scale.scale / scale.softcap);
  const FloatVec cap = hn::Set(df, scale.softcap);
  for (size_t p = 0; p < s.n_panels; ++p) {
    float* scores = s.scores + p * kTokenTile * lanes;
    for (size_t i = 0; i < tile.n * lanes; i += lanes) {
      const FloatVec score = hn::Mul(hn::LoadU(df, scores + i), unit);
      hn::StoreU(hn::Mul(Tanh(df, score), cap), df, scores + i);
    }
  }
}

// Tokens that some row sees, and those that all rows see.
struct RunLimits {
  VisibleTokens some;
  VisibleTokens all;
};

RunLimits TakeLimits(const QueryTile& queries, const TokenRun& run, const ManyScratch& s) {
  RunLimits limits{{run.first + run.count, run.first}, {run.first, run.first + run.count}};
  for (size_t r = 0; r < s.n_panels * hn::Lanes(FloatTag()); ++r) {
    const VisibleTokens seen =
        r < queries.n_rows ? Visible(run, queries, r) : VisibleTokens{run.first, run.first};
    s.begins[r] = static_cast<float>(seen.first);
    s.ends[r] = static_cast<float>(seen.end);
    if (r >= queries.n_rows) continue;
    limits.some = {std::min(limits.some.first, seen.first), std::max(limits.some.end, seen.end)};
    limits.all = {std::max(limits.all.first, seen.first), std::min(limits.all.end, seen.end)};
  }
  return limits;
}

void AttendRun(const QueryTile& queries, const TokenRun& run, const ManyScratch& s) {
  const RunLimits limits = TakeLimits(queries, run, s);
  const ScoreScale& scale = queries.scale;
  const bool capped = scale.softcap > 0;
  const float unit = capped ? 1.0f : scale.scale;
  const size_t end = limits.some.end;
  if (run.keys.channels != nullptr) GatherQueries(run.keys, s);
  const float* q = run.keys.channels != nullptr ? s.gather : s.q;
  const size_t width = run.keys.channels != nullptr ? run.keys.width : s.dim;
  for (size_t t = limits.some.first / kTokenTile * kTokenTile; t < end; t += kTokenTile) {
    const TokenTile tile = ExpandTile(run, t, HWY_MIN(kTokenTile, end - t), s);
    Scores(tile, q, width, s);
    if (capped) CapScores(tile, scale, s);
    const bool all_see = t >= limits.all.first && t + tile.n <= limits.all.end;
    for (size_t p = 0; p < s.n_panels; ++p) {
      if (all_see) {
        SoftmaxPanel<false>(p, tile.n, unit, 0, s);
      } else {
        SoftmaxPanel<true>(p, tile.n, unit, static_cast<float>(t), s);
      }
    }
    WeightedValues(tile, s);
  }
}

void AttendManyKernel(const QueryTile& queries, const TokenRun* runs, size_t n_runs, float* scratch,
                      const Partial& out) {
  ManyScratch s = Carve(scratch, queries.head_dim);
  PackQueries(queries, s);
  for (size_t i = 0; i < n_runs; ++i) AttendRun(queries, runs[i], s);
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t r = 0; r < queries.n_rows; ++r) {
    out.max[r] = s.max[r];
    out.sum[r] = s.sum[r];
    const float* column = s.out + r / lanes * s.padded * lanes + r % lanes;
    for (size_t j = 0; j < s.dim; ++j) out.values[r * s.dim + j] = column[j * lanes];
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(AttendManyKernel);

void AttendMany(const QueryTile& queries, std::span<const TokenRun> runs, std::byte* scratch,
                const Partial& out) {
  HWY_DYNAMIC_DISPATCH(AttendManyKernel)
  (queries, runs.data(), runs.size(), reinterpret_cast<float*>(scratch), out);
}

}  // namespace spark
#endif  // HWY_ONCE
