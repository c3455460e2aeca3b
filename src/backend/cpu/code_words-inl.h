// Weighted sums of q8_0 values in integers by products of 16-bit words, on x86 without dot products
// of bytes (code_values-inl.h).
#if defined(SPARK_BACKEND_CPU_CODE_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_CODE_WORDS_INL_H_
#undef SPARK_BACKEND_CPU_CODE_WORDS_INL_H_
#else
#define SPARK_BACKEND_CPU_CODE_WORDS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/code_scales-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL && HWY_TARGET < HWY_EMU128

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Codes of as many channels, at most those of a group of scales, as words.
using WordTag = hn::CappedTag<int16_t, kScaleGroup>;
using WordSumTag = hn::RepartitionToWide<WordTag>;

// Weighted sums of Lanes(WordTag()) channels for one query row. `upper` has the upper four of the
// eight channels of every 128-bit block. Members of their own, as CodeSums.
struct WordSums {
  using Sums = IntSums<WordSumTag>;
  Sums lower, upper;

  HWY_INLINE WordSums() { lower = upper = ToSums(WordSumTag(), hn::Zero(WordSumTag())); }
  // Codes of two tokens, side by side, and their two weights.
  HWY_INLINE void Add(const int16_t* weights, hn::Vec<WordTag> codes_lower,
                      hn::Vec<WordTag> codes_upper) {
    const WordSumTag d;
    int32_t pair;
    std::memcpy(&pair, weights, sizeof(pair));
    const auto w = hn::BitCast(WordTag(), hn::Set(d, pair));
    lower = ToSums(d, hn::Add(FromSums(d, lower), hn::WidenMulPairwiseAdd(d, codes_lower, w)));
    upper = ToSums(d, hn::Add(FromSums(d, upper), hn::WidenMulPairwiseAdd(d, codes_upper, w)));
  }
  // Adds step * sums to out: those of `lower`, then those of `upper`.
  HWY_INLINE void Store(FloatVec step, float* out) const {
    const FloatTag df;
    const auto add = [&](Sums sums, float* to) SPARK_INLINE_LAMBDA {
      const FloatVec whole = hn::ConvertTo(df, FromSums(WordSumTag(), sums));
      hn::Store(hn::MulAdd(whole, step, hn::Load(df, to)), df, to);
    };
    add(lower, out);
    add(upper, out + hn::Lanes(df));
  }
};

// What CodeValues of AVX-512 sums, with products p a rounded to 15 bits of the largest scale of a
// tile, as words with a sign: so a weight is right to 2^-16 of the run's largest. Codes of two
// tokens become pairs of words, once for up to four query rows, and meet pairs of weights; all is
// exact until the sums of a tile become floats.
class CodeValues {
 public:
  // Of a tile. Sums of so many products of at most 32767 and 128 stay below 2^30.
  static constexpr size_t kTokens = 256;

  static bool Takes(const RowsView& values) {
    return values.masks == nullptr && values.lanes == nullptr && values.type == DType::kQ8_0 &&
           values.head_dim % (2 * kScaleGroup) == 0;
  }
  // memory: 64-byte aligned, of [kTokenTile + kExpandedAhead, D] floats.
  CodeValues(const RowsView& values, size_t n_rows, float* memory)
      : values_(values),
        n_rows_(n_rows),
        groups_(values.head_dim / kScaleGroup),
        scales_(memory),
        sums_(scales_ + groups_ * kTokens),
        weights_(reinterpret_cast<int16_t*>(sums_ + n_rows * values.head_dim)),
        steps_(reinterpret_cast<float*>(weights_ + n_rows * groups_ * kTokens)) {
    // Bytes a channel.
    static_assert((sizeof(int16_t) * kFewQueryRows + sizeof(float)) * kTokens / kScaleGroup +
                      (kFewQueryRows + 1) * sizeof(float) <=
                  kScratchRows * sizeof(float));
    std::memset(sums_, 0, n_rows * values.head_dim * sizeof(float));
  }

  // Steps of LinesAhead that Add() takes for n tokens.
  static size_t Steps(size_t n, size_t n_rows, size_t dim) {
    const size_t of_pass = CeilDiv(n / 2 * 2, kStepTokens) + n % 2;
    return CeilDiv(n, kStepTokens) * (dim / (2 * kScaleGroup)) +
           of_pass * CeilDiv(n_rows, size_t{4}) * (dim / Channels());
  }

  // Adds n <= kTokens tokens. p: row r's weights at p + r * stride, readable in whole vectors.
  void Add(size_t first, size_t n, const float* p, size_t stride, RunMemory& memory) {
    const size_t dim = values_.head_dim;
    const std::byte* rows = values_.values + first * values_.row_bytes;
    CopyScales(rows, n, memory);
    const size_t end = RoundUp(n, 2 * hn::Lanes(FloatTag()));
    for (size_t g = 0; g < groups_; g += 2) {
      float* scales = scales_ + g * kTokens;
      ShareScalePairs(n, end, 32767.0f, scales, scales + kTokens, steps_ + g,
                      [&](size_t t) SPARK_INLINE_LAMBDA {
                        const hn::RebindToUnsigned<FloatTag> du;
                        return hn::Load(du, ScalePairs(g) + t);
                      });
    }
    for (size_t r = 0; r < n_rows_; ++r) {
      for (size_t g = 0; g < groups_; ++g) {
        MakeWeights(p + r * stride, n, scales_ + g * kTokens, Weights(r, g));
      }
    }
    const auto* codes = reinterpret_cast<const int8_t*>(rows) + PackedScaleBytes(values_.type, dim);
    const size_t pairs = n / 2 * 2;
    if (pairs > 0) AddCodes(codes, values_.row_bytes, 0, pairs, memory);
    // The last one beside itself: the weight behind it is 0.
    if (pairs < n) AddCodes(codes + pairs * values_.row_bytes, 0, pairs, 2, memory);
  }

  // out: [n_rows, D]
  void Finish(float* out) const {
    const size_t n = n_rows_ * values_.head_dim, half = Channels() / 2;
    for (size_t i = 0; i < n; i += 2 * half) {
      for (size_t k = 0; k < half; k += 4) {  // see WordSums
        std::memcpy(out + i + 2 * k, sums_ + i + k, 4 * sizeof(float));
        std::memcpy(out + i + 2 * k + 4, sums_ + i + half + k, 4 * sizeof(float));
      }
    }
  }

 private:
  static constexpr size_t kStepTokens = 16;  // between two steps of LinesAhead
  static constexpr size_t Channels() { return hn::MaxLanes(WordTag()); }

  int16_t* Weights(size_t r, size_t g) { return weights_ + (r * groups_ + g) * kTokens; }
  // f16 scales of groups g and g + 1, which lie where floats of g + 1 will.
  uint32_t* ScalePairs(size_t g) {
    return reinterpret_cast<uint32_t*>(scales_ + (g + 1) * kTokens);
  }

  // All of them before any is read: a vector that is loaded right behind the stores of its parts
  // has to wait.
  void CopyScales(const std::byte* rows, size_t n, RunMemory& memory) {
    const size_t row_bytes = values_.row_bytes;
    LinesAhead ahead = memory.Begin();
    for (size_t g = 0; g < groups_; g += 2) {
      const std::byte* row = rows + g * PackedScaleBytes(DType::kQ8_0, kScaleGroup);
      uint32_t* pairs = ScalePairs(g);
      uint32_t* const end = pairs + n;
      while (pairs != end) {
        ahead.Step();
        uint32_t* const step_end = pairs + HWY_MIN(kStepTokens, static_cast<size_t>(end - pairs));
        for (; pairs != step_end; ++pairs, row += row_bytes) {
          std::memcpy(pairs, row, sizeof(*pairs));
        }
      }
    }
    memory.End(ahead);
  }

  // Products of p and scales in 15 bits. Weights behind the n-th may be anything: their scales are
  // 0, and what is no number ends as 0 too, as the least of all integers.
  static void MakeWeights(const float* p, size_t n, const float* scales, int16_t* out) {
    const FloatTag df;
    const hn::RebindToSigned<FloatTag> d32;
    const hn::Repartition<uint16_t, FloatTag> d16;
    const size_t lanes = hn::Lanes(df);
    const FloatVec half = hn::Set(df, 0.5f);
    const auto whole = [&](size_t t) SPARK_INLINE_LAMBDA {
      const FloatVec x = hn::MulAdd(hn::LoadU(df, p + t), hn::Load(df, scales + t), half);
      return hn::ConvertInRangeTo(d32, x);
    };
    for (size_t t = 0; t < n; t += 2 * lanes) {
      hn::Store(hn::OrderedDemote2To(d16, whole(t), whole(t + lanes)), d16,
                reinterpret_cast<uint16_t*>(out) + t);
    }
  }

  // All channels of tokens [t, t + n) of the tile, an even number of them, in rows at `codes`.
  void AddCodes(const int8_t* codes, size_t row_bytes, size_t t, size_t n, RunMemory& memory) {
    for (size_t j = 0; j < values_.head_dim; j += Channels()) {
      ByFourRows(n_rows_, [&](auto few, size_t r) SPARK_INLINE_LAMBDA {
        AddRows<few>(codes + j, row_bytes, t, n, r, j, memory);
      });
    }
  }

  // Two tokens, with the first row's weights of them.
  template <size_t kRows>
  HWY_INLINE void AddPair(const int8_t* row0, const int8_t* row1, const int16_t* weights,
                          WordSums& a, WordSums& b, WordSums& c, WordSums& d) const {
    const WordTag d16;
    const hn::Rebind<int8_t, WordTag> d8;
    const auto x0 = hn::PromoteTo(d16, hn::LoadU(d8, row0));
    const auto x1 = hn::PromoteTo(d16, hn::LoadU(d8, row1));
    const auto lower = hn::InterleaveLower(d16, x0, x1), upper = hn::InterleaveUpper(d16, x0, x1);
    const size_t row_weights = groups_ * kTokens;
    a.Add(weights, lower, upper);
    if constexpr (kRows > 1) b.Add(weights + row_weights, lower, upper);
    if constexpr (kRows > 2) c.Add(weights + 2 * row_weights, lower, upper);
    if constexpr (kRows > 3) d.Add(weights + 3 * row_weights, lower, upper);
  }

  // Channels() from j on of kRows query rows.
  template <size_t kRows>
  HWY_NOINLINE void AddRows(const int8_t* codes, size_t row_bytes, size_t t, size_t n,
                            size_t first_row, size_t j, RunMemory& memory) {
    WordSums a, b, c, d;
    const size_t g = j / kScaleGroup;
    const int16_t* weights = Weights(first_row, g) + t;
    const int16_t* const end = weights + n;
    LinesAhead ahead = memory.Begin();
    do {  // not for: g++ keeps two copies of all sums, lest n is 0
      ahead.Step();
      const int16_t* const step_end = HWY_MIN(weights + kStepTokens, end);
      do {  // one pair a turn: of two, g++ adds products first, and sums go to memory
        AddPair<kRows>(codes, codes + row_bytes, weights, a, b, c, d);
        codes += 2 * row_bytes;
        weights += 2;
      } while (weights != step_end);
    } while (weights != end);
    memory.End(ahead);
    const FloatVec step = hn::Set(FloatTag(), steps_[g]);
    float* sums = sums_ + first_row * values_.head_dim + j;
    a.Store(step, sums);
    if constexpr (kRows > 1) b.Store(step, sums + values_.head_dim);
    if constexpr (kRows > 2) c.Store(step, sums + 2 * values_.head_dim);
    if constexpr (kRows > 3) d.Store(step, sums + 3 * values_.head_dim);
  }

  const RowsView& values_;
  size_t n_rows_;
  size_t groups_;
  float* scales_;     // [groups, kTokens]
  float* sums_;       // [n_rows, D], channels in the order of WordSums
  int16_t* weights_;  // [n_rows, groups, kTokens]
  float* steps_;      // [groups]
};

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif  // SPARK_BACKEND_CPU_CODE_WORDS_INL_H_
