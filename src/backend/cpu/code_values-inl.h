// Weighted sums of q8_0 values in integers, on AVX-512 with dot products of bytes (VNNI). Other x86
// has code_words-inl.h; elsewhere codes become floats (attend_few.cc).
#if defined(SPARK_BACKEND_CPU_CODE_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_CODE_VALUES_INL_H_
#undef SPARK_BACKEND_CPU_CODE_VALUES_INL_H_
#else
#define SPARK_BACKEND_CPU_CODE_VALUES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/code_scales-inl.h"
#include "backend/cpu/code_words-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "backend/cpu/run_memory-inl.h"
#include "base/tiles.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

// All but the targets of code_words-inl.h. Around the region, which clang wants not to be empty.
#if !HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX3_DL || HWY_TARGET >= HWY_EMU128

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

// Weighted sums of 64 channels for one query row: what the low and the high bytes of its weights
// give. Members of their own, not arrays: g++ would write those to memory after every step.
struct CodeSums {
  using Sum = hn::FixedTag<int32_t, 16>;
  using Code = hn::Vec<hn::FixedTag<int8_t, 64>>;
  using Weight = hn::Vec<hn::FixedTag<uint8_t, 64>>;
  using Sums = IntSums<Sum>;
  Sums low0, low1, low2, low3, high0, high1, high2, high3;

  HWY_INLINE CodeSums() {
    low0 = low1 = low2 = low3 = high0 = high1 = high2 = high3 = ToSums(Sum(), hn::Zero(Sum()));
  }
  HWY_INLINE void Add(Weight low, Weight high, Code c0, Code c1, Code c2, Code c3) {
    const Sum d;
    AddQuadDot<Bytes::kWide>(d, low, c0, low0);
    AddQuadDot<Bytes::kWide>(d, high, c0, high0);
    AddQuadDot<Bytes::kWide>(d, low, c1, low1);
    AddQuadDot<Bytes::kWide>(d, high, c1, high1);
    AddQuadDot<Bytes::kWide>(d, low, c2, low2);
    AddQuadDot<Bytes::kWide>(d, high, c2, high2);
    AddQuadDot<Bytes::kWide>(d, low, c3, low3);
    AddQuadDot<Bytes::kWide>(d, high, c3, high3);
  }
  // Adds step * sums to out[0 … 63].
  HWY_INLINE void Store(FloatVec step, float* out) const {
    const auto add = [&](Sums low, Sums high, float* to) SPARK_INLINE_LAMBDA {
      const Sum d;
      const FloatTag df;
      const auto sum = hn::Add(hn::ShiftLeft<8>(FromSums(d, high)), FromSums(d, low));
      const auto whole = hn::ConvertTo(df, sum);
      hn::StoreU(hn::MulAdd(whole, step, hn::LoadU(df, to)), df, to);
    };
    add(low0, high0, out);
    add(low1, high1, out + 16);
    add(low2, high2, out + 32);
    add(low3, high3, out + 48);
  }
};

// Σ_t p[t] a[t,g] c[t,j] for codes c, scales a of groups g of 32 channels and softmax weights p
// <= 1. Products p a are rounded to 16 bits of the largest scale of a tile of tokens, and their two
// bytes meet the codes of four tokens at a time; so a weight is right to 2^-17 of the run's
// largest. The rest is exact until the sums of a tile become floats.
class CodeValues {
 public:
  // Of a tile. Sums of products of 16 bits and 7 stay below 2^31.
  static constexpr size_t kTokens = 256;

  static bool Takes(const RowsView& values) {
    return values.masks == nullptr && values.lanes == nullptr && values.type == DType::kQ8_0 &&
           values.head_dim % 64 == 0;
  }
  // memory: 64-byte aligned, of [kTokenTile + kExpandedAhead, D] floats.
  CodeValues(const RowsView& values, size_t n_rows, float* memory)
      : values_(values),
        n_rows_(n_rows),
        groups_(values.head_dim / kScaleGroup),
        weights_(reinterpret_cast<uint8_t*>(memory)),
        scales_(reinterpret_cast<float*>(weights_ + n_rows * groups_ * 2 * kTokens)),
        sums_(scales_ + groups_ * kTokens),
        steps_(sums_ + n_rows * values.head_dim) {
    // Bytes a channel.
    static_assert((2 * kFewQueryRows + sizeof(float)) * kTokens / kScaleGroup +
                      (kFewQueryRows + 1) * sizeof(float) <=
                  kScratchRows * sizeof(float));
    std::memset(sums_, 0, n_rows * values.head_dim * sizeof(float));
  }

  // Steps of LinesAhead that Add() takes for n tokens.
  static size_t Steps(size_t n, size_t n_rows, size_t dim) {
    return (2 * CeilDiv(n, 16) + CeilDiv(n, 4) * CeilDiv(n_rows, 3)) * (dim / 64);
  }

  // Adds n <= kTokens tokens. p: row r's weights at p + r * stride, readable in whole vectors.
  void Add(size_t first, size_t n, const float* p, size_t stride, RunMemory& memory) {
    const std::byte* rows = values_.values + first * values_.row_bytes;
    for (size_t g = 0; g < groups_; g += 2) {
      FetchScales(rows, n, g, memory);
      for (size_t r = 0; r < n_rows_; ++r) {
        MakeWeights(p + r * stride, n, scales_ + g * kTokens, Weights(r, g));
        MakeWeights(p + r * stride, n, scales_ + (g + 1) * kTokens, Weights(r, g + 1));
      }
    }
    const std::byte* codes = rows + PackedScaleBytes(values_.type, values_.head_dim);
    for (size_t j = 0; j < values_.head_dim; j += 64) {
      ByThreeRows(n_rows_, [&](auto rows, size_t r)
                               SPARK_INLINE_LAMBDA { AddRows<rows>(codes + j, n, r, j, memory); });
    }
  }

  // out: [n_rows, D]
  void Finish(float* out) const {
    const size_t dim = values_.head_dim;
    for (size_t r = 0; r < n_rows_; ++r) {
      for (size_t j = 0; j < dim; j += 64) {
        const float* sums = sums_ + r * dim + j;
        for (size_t i = 0; i < 64; i += 4) {  // see AddQuad()
          std::memcpy(out + r * dim + j + i, sums + i / 4 % 4 * 16 + i / 16 * 4, 4 * sizeof(float));
        }
      }
    }
  }

 private:
  using Sum = hn::FixedTag<int32_t, 16>;
  using Byte = hn::FixedTag<uint8_t, 64>;
  using Code = hn::FixedTag<int8_t, 64>;

  uint8_t* Weights(size_t r, size_t g) {  // [2, kTokens]: low bytes, high bytes
    return weights_ + (r * groups_ + g) * 2 * kTokens;
  }
  // Where the bytes of tokens 4k … 4k + 3 are among those of 64, as packing leaves them.
  static constexpr size_t QuadAt(size_t k) { return 16 * (k % 4) + 4 * (k / 4); }

  // Scales of groups g and g + 1 of n tokens, as shares of the largest one, times 65535; 0 behind
  // the n-th up to a multiple of 64. Fetched by offset from the rows they lie in: both at once, as
  // 32 bits.
  void FetchScales(const std::byte* rows, size_t n, size_t g, RunMemory& memory) {
    const Sum d32;
    const hn::FixedTag<uint32_t, 16> du32;
    const auto* pairs = reinterpret_cast<const int32_t*>(rows + g / 2 * 4);
    const auto row_bytes = hn::Set(d32, static_cast<int32_t>(values_.row_bytes));
    const auto last = hn::Set(d32, static_cast<int32_t>(n - 1));
    float* scales = scales_ + g * kTokens;
    LinesAhead ahead = memory.Begin();
    const auto fetch = [&](size_t t) SPARK_INLINE_LAMBDA {
      ahead.Step();
      ahead.Step();
      const auto tokens = hn::Iota(d32, static_cast<int32_t>(t));
      const auto offsets = hn::Mul(hn::Min(tokens, last), row_bytes);
      return hn::BitCast(du32, hn::GatherOffset(d32, pairs, offsets));
    };
    ShareScalePairs(n, RoundUp(n, 64), 65535.0f, scales, scales + kTokens, steps_ + g, fetch);
    memory.End(ahead);
  }

  // Products of p and scales in 16 bits: low bytes at out, high bytes at out + kTokens. Weights
  // behind the n-th may be anything that is no NaN: their scales are 0.
  static void MakeWeights(const float* p, size_t n, const float* scales, uint8_t* out) {
    const FloatTag df;
    const Sum d32;
    const hn::FixedTag<uint16_t, 32> d16;
    const hn::FixedTag<int16_t, 32> di16;
    const Byte d8;
    const auto low = hn::Set(d16, uint16_t{255});
    const FloatVec half = hn::Set(df, 0.5f);
    const auto whole = [&](size_t t) SPARK_INLINE_LAMBDA {
      const FloatVec x = hn::MulAdd(hn::LoadU(df, p + t), hn::Load(df, scales + t), half);
      return hn::ConvertInRangeTo(d32, x);
    };
    const auto pack = [&](auto a, auto b) SPARK_INLINE_LAMBDA {
      return hn::ReorderDemote2To(d8, hn::BitCast(di16, a), hn::BitCast(di16, b));
    };
    for (size_t t = 0; t < n; t += 64) {
      const auto w0 = hn::ReorderDemote2To(d16, whole(t), whole(t + 16));
      const auto w1 = hn::ReorderDemote2To(d16, whole(t + 32), whole(t + 48));
      hn::Store(pack(hn::And(w0, low), hn::And(w1, low)), d8, out + t);
      hn::Store(pack(hn::ShiftRight<8>(w0), hn::ShiftRight<8>(w1)), d8, out + kTokens + t);
    }
  }

  // What stands for group j/32 in the lower half of a vector, for the next group in the upper one.
  template <class D, class T>
  static HWY_INLINE hn::Vec<D> Halves(D d, T lower, T upper) {
    return hn::IfThenElse(hn::FirstN(d, 8), hn::Set(d, lower), hn::Set(d, upper));
  }
  // Four weights of a group and of the next one.
  HWY_INLINE hn::Vec<Byte> QuadWeights(const uint8_t* weights) const {
    int32_t first, second;
    std::memcpy(&first, weights, sizeof(first));
    std::memcpy(&second, weights + 2 * kTokens, sizeof(second));
    return hn::BitCast(Byte(), Halves(Sum(), first, second));
  }

  // Four tokens, the i-th of them at row + i * step unless that is behind row + most: those there
  // have the weight 0. weights: of the first row.
  template <size_t kRows>
  HWY_INLINE void AddQuad(const int8_t* row, size_t step, size_t most, const uint8_t* weights,
                          CodeSums& a, CodeSums& b, CodeSums& c) const {
    const Code d;
    const hn::Repartition<int16_t, Code> d16;
    const auto x0 = hn::LoadU(d, row), x1 = hn::LoadU(d, row + HWY_MIN(step, most));
    const auto x2 = hn::LoadU(d, row + HWY_MIN(2 * step, most));
    const auto x3 = hn::LoadU(d, row + HWY_MIN(3 * step, most));
    const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d, x0, x1));
    const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d, x0, x1));
    const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d, x2, x3));
    const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d, x2, x3));
    // Lane l of block k of c_i has the codes of channel 16 k + 4 i + l.
    const auto c0 = hn::BitCast(d, hn::InterleaveLower(d16, low01, low23));
    const auto c1 = hn::BitCast(d, hn::InterleaveUpper(d16, low01, low23));
    const auto c2 = hn::BitCast(d, hn::InterleaveLower(d16, high01, high23));
    const auto c3 = hn::BitCast(d, hn::InterleaveUpper(d16, high01, high23));
    const size_t row_weights = groups_ * 2 * kTokens;
    a.Add(QuadWeights(weights), QuadWeights(weights + kTokens), c0, c1, c2, c3);
    if constexpr (kRows > 1) {
      weights += row_weights;
      b.Add(QuadWeights(weights), QuadWeights(weights + kTokens), c0, c1, c2, c3);
    }
    if constexpr (kRows > 2) {
      weights += row_weights;
      c.Add(QuadWeights(weights), QuadWeights(weights + kTokens), c0, c1, c2, c3);
    }
  }

  // Channels [j, j + 64) of kRows query rows.
  template <size_t kRows>
  HWY_NOINLINE void AddRows(const std::byte* codes, size_t n, size_t first_row, size_t j,
                            RunMemory& memory) {
    CodeSums a, b, c;
    const size_t row_bytes = values_.row_bytes;
    const auto* row = reinterpret_cast<const int8_t*>(codes);
    const size_t g = j / kScaleGroup;
    const uint8_t* weights = Weights(first_row, g);
    LinesAhead ahead = memory.Begin();
    size_t t = 0;
    do {  // not for: g++ stores all sums in every step, lest n is 0
      ahead.Step();
      AddQuad<kRows>(row, row_bytes, (n - 1 - t) * row_bytes,
                     weights + t / 64 * 64 + QuadAt(t % 64 / 4), a, b, c);
      t += 4;
      row += 4 * row_bytes;
    } while (t < n);
    memory.End(ahead);
    const FloatVec step = Halves(FloatTag(), steps_[g], steps_[g + 1]);
    float* sums = sums_ + first_row * values_.head_dim + j;
    a.Store(step, sums);
    if constexpr (kRows > 1) b.Store(step, sums + values_.head_dim);
    if constexpr (kRows > 2) c.Store(step, sums + 2 * values_.head_dim);
  }

  const RowsView& values_;
  size_t n_rows_;
  size_t groups_;
  uint8_t* weights_;
  float* scales_;  // [groups, kTokens]
  float* sums_;    // [n_rows, D], channels in the order of AddQuad()
  float* steps_;   // [groups]
};

#else

class CodeValues {
 public:
  static constexpr size_t kTokens = kTokenTile;
  static bool Takes(const RowsView&) { return false; }
  CodeValues(const RowsView&, size_t, float*) {}
  static size_t Steps(size_t, size_t, size_t) { return 0; }
  void Add(size_t, size_t, const float*, size_t, RunMemory&) {}
  void Finish(float*) const {}
};

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif  // SPARK_BACKEND_CPU_CODE_VALUES_INL_H_
