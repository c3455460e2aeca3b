// Weighted sums of q8_0 values in integers, on AVX-512 with dot products of bytes (VNNI). Elsewhere
// codes become floats (attend_few.cc).
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
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/tiles.h"
#include "backend/cpu/weight_memory-inl.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

// Σ_t p[t] a[t,g] c[t,j] for codes c, scales a of groups g of 32 channels and softmax weights p
// <= 1. Products p a are rounded to 16 bits of the largest scale of a tile of tokens, and their two
// bytes meet the codes of four tokens at a time; so a weight is right to 2^-17 of the run's
// largest. The rest is exact until the sums of a tile become floats.
class CodeValues {
 public:
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
        sums_(reinterpret_cast<float*>(weights_ + n_rows * groups_ * 2 * kTokenTile)),
        steps_(sums_ + n_rows * values.head_dim) {
    static_assert(2 * kTokenTile * kFewQueryRows / kScaleGroup + (kFewQueryRows + 1) * 4 <=
                  4 * kScratchRows);  // bytes a channel
    std::memset(sums_, 0, n_rows * values.head_dim * sizeof(float));
  }

  // Adds n <= kTokenTile tokens. p: row r's weights at p + r * stride, readable in whole vectors.
  void Add(size_t first, size_t n, const float* p, size_t stride) {
    const std::byte* rows = values_.values + first * values_.row_bytes;
    for (size_t g = 0; g < groups_; ++g) MakeWeights(rows, p, stride, n, g);
    const std::byte* codes = rows + PackedScaleBytes(values_.type, values_.head_dim);
    for (size_t j = 0; j < values_.head_dim; j += 64) {
      ByThreeRows(n_rows_, [&](auto rows, size_t r)
                               SPARK_INLINE_LAMBDA { AddRows<rows>(codes + j, n, r, j); });
    }
  }

  // out: [n_rows, D]
  void Finish(float* out) const {
    const size_t dim = values_.head_dim;
    for (size_t r = 0; r < n_rows_; ++r) {
      for (size_t j = 0; j < dim; j += 64) {
        const float* sums = sums_ + r * dim + j;
        for (size_t i = 0; i < 64; i += 4) {  // see AddRows()
          std::memcpy(out + r * dim + j + i, sums + i / 4 % 4 * 16 + i / 16 * 4, 4 * sizeof(float));
        }
      }
    }
  }

 private:
  using Sum = hn::FixedTag<int32_t, 16>;
  using Byte = hn::FixedTag<uint8_t, 64>;
  using Code = hn::FixedTag<int8_t, 64>;

  // Scales of group g of tokens t … t + 15, 0 behind the n-th. Fetched by offset from the rows they
  // lie in: two of them, as 32 bits.
  HWY_INLINE FloatVec Scales(const std::byte* rows, size_t g, size_t t, size_t n) const {
    const FloatTag df;
    const Sum d32;
    const hn::FixedTag<uint16_t, 16> d16;
    const hn::FixedTag<hwy::float16_t, 16> dh;
    const auto* pairs = reinterpret_cast<const int32_t*>(rows + t * values_.row_bytes + g / 2 * 4);
    const auto tokens = hn::Min(hn::Iota(d32, 0), hn::Set(d32, static_cast<int32_t>(n - t - 1)));
    const auto offsets = hn::Mul(tokens, hn::Set(d32, static_cast<int32_t>(values_.row_bytes)));
    auto found = hn::BitCast(hn::FixedTag<uint32_t, 16>(), hn::GatherOffset(d32, pairs, offsets));
    if (g % 2 == 1) found = hn::ShiftRight<16>(found);
    const FloatVec scales = hn::PromoteTo(df, hn::BitCast(dh, hn::TruncateTo(d16, found)));
    return n - t >= 16 ? scales : hn::IfThenElseZero(hn::FirstN(df, n - t), scales);
  }

  uint8_t* Weights(size_t r, size_t g) {  // [2, kTokenTile]: low bytes, high bytes
    return weights_ + (r * groups_ + g) * 2 * kTokenTile;
  }
  // Where the bytes of tokens 4k … 4k + 3 are among those of a tile, as packing leaves them.
  static constexpr size_t QuadAt(size_t k) { return 16 * (k % 4) + 4 * (k / 4); }

  // 16 bits of p[t] a[t,g] of every query row, for all 64 tokens of a tile; 0 for those behind the
  // n-th.
  void MakeWeights(const std::byte* rows, const float* p, size_t stride, size_t n, size_t g) {
    const FloatTag df;
    FloatVec scales[kTokenTile / 16];
    FloatVec most = hn::Zero(df);
    Unroll<kTokenTile / 16>([&](auto i) SPARK_INLINE_LAMBDA {
      scales[i] = 16 * i < n ? Scales(rows, g, 16 * i, n) : hn::Zero(df);
      most = hn::Max(most, scales[i]);
    });
    const float largest = hn::ReduceMax(df, most);
    steps_[g] = largest * (1 / 65535.0f);
    const FloatVec inverse = hn::Set(df, largest > 0 ? 65535.0f / largest : 0.0f);
    Unroll<kTokenTile / 16>([&](auto i)
                                SPARK_INLINE_LAMBDA { scales[i] = hn::Mul(scales[i], inverse); });
    const hn::FixedTag<uint16_t, 32> d16;
    const hn::FixedTag<int16_t, 32> di16;
    const Byte d8;
    const auto low = hn::Set(d16, uint16_t{255});
    const auto pack = [&](auto a, auto b) SPARK_INLINE_LAMBDA {
      return hn::ReorderDemote2To(d8, hn::BitCast(di16, a), hn::BitCast(di16, b));
    };
    for (size_t r = 0; r < n_rows_; ++r, p += stride) {
      hn::Vec<Sum> w[kTokenTile / 16];
      Unroll<kTokenTile / 16>([&](auto i) SPARK_INLINE_LAMBDA {
        w[i] = hn::Zero(Sum());
        if (16 * i >= n) return;
        FloatVec x = hn::Mul(scales[i], hn::LoadU(df, p + 16 * i));
        if (n - 16 * i < 16) x = hn::IfThenElseZero(hn::FirstN(df, n - 16 * i), x);
        w[i] = hn::NearestInt(x);
      });
      const auto w0 = hn::ReorderDemote2To(d16, w[0], w[1]);
      const auto w1 = hn::ReorderDemote2To(d16, w[2], w[3]);
      uint8_t* out = Weights(r, g);
      hn::StoreU(pack(hn::And(w0, low), hn::And(w1, low)), d8, out);
      hn::StoreU(pack(hn::ShiftRight<8>(w0), hn::ShiftRight<8>(w1)), d8, out + kTokenTile);
    }
  }

  // 64 channels of four tokens: lane c of block b of v[i] has the codes of channel 16 b + 4 i + c.
  static HWY_INLINE void LoadQuad(const int8_t* r0, const int8_t* r1, const int8_t* r2,
                                  const int8_t* r3, hn::Vec<Code> (&v)[4]) {
    const Code d;
    const hn::Repartition<int16_t, Code> d16;
    const auto x0 = hn::LoadU(d, r0), x1 = hn::LoadU(d, r1);
    const auto x2 = hn::LoadU(d, r2), x3 = hn::LoadU(d, r3);
    const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d, x0, x1));
    const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d, x0, x1));
    const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d, x2, x3));
    const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d, x2, x3));
    v[0] = hn::BitCast(d, hn::InterleaveLower(d16, low01, low23));
    v[1] = hn::BitCast(d, hn::InterleaveUpper(d16, low01, low23));
    v[2] = hn::BitCast(d, hn::InterleaveLower(d16, high01, high23));
    v[3] = hn::BitCast(d, hn::InterleaveUpper(d16, high01, high23));
  }

  // What stands for group j/32 in the lower half of a vector, for the next group in the upper one.
  template <class D, class T>
  static HWY_INLINE hn::Vec<D> Halves(D d, T lower, T upper) {
    return hn::IfThenElse(hn::FirstN(d, 8), hn::Set(d, lower), hn::Set(d, upper));
  }

  // Channels [j, j + 64) of kRows query rows.
  template <size_t kRows>
  HWY_NOINLINE void AddRows(const std::byte* codes, size_t n, size_t first_row, size_t j) {
    const Sum d;
    const Byte d8;
    hn::Vec<Sum> low[kRows][4], high[kRows][4];
    Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
      Unroll<4>([&](auto i) SPARK_INLINE_LAMBDA { low[r][i] = high[r][i] = hn::Zero(d); });
    });
    const size_t g = j / kScaleGroup;
    const size_t row_bytes = values_.row_bytes;
    const auto four = [](const uint8_t* weights) SPARK_INLINE_LAMBDA {
      int32_t bytes;
      std::memcpy(&bytes, weights, sizeof(bytes));
      return bytes;
    };
    const auto* row = reinterpret_cast<const int8_t*>(codes);
    for (size_t t = 0; t < n; t += 4, row += 4 * row_bytes) {
      if (first_row == 0) {
        for (size_t i = 0; i < 4; ++i) PrefetchAhead<64>(row + i * row_bytes);
      }
      hn::Vec<Code> quad[4];
      const size_t last = HWY_MIN(size_t{3}, n - 1 - t);  // those behind it have the weight 0
      LoadQuad(row, row + HWY_MIN(size_t{1}, last) * row_bytes,
               row + HWY_MIN(size_t{2}, last) * row_bytes, row + last * row_bytes, quad);
      const uint8_t* weights = Weights(first_row, g) + QuadAt(t / 4);
      Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
        const uint8_t* w0 = weights + r * groups_ * 2 * kTokenTile;
        const uint8_t* w1 = w0 + 2 * kTokenTile;
        const auto w_low = hn::BitCast(d8, Halves(d, four(w0), four(w1)));
        const auto w_high =
            hn::BitCast(d8, Halves(d, four(w0 + kTokenTile), four(w1 + kTokenTile)));
        Unroll<4>([&](auto i) SPARK_INLINE_LAMBDA {
          low[r][i] = hn::SumOfMulQuadAccumulate(d, w_low, quad[i], low[r][i]);
          high[r][i] = hn::SumOfMulQuadAccumulate(d, w_high, quad[i], high[r][i]);
        });
      });
    }
    const FloatTag df;
    const FloatVec step = Halves(df, steps_[g], steps_[g + 1]);
    Unroll<kRows>([&](auto r) SPARK_INLINE_LAMBDA {
      float* sums = sums_ + (first_row + r) * values_.head_dim + j;
      Unroll<4>([&](auto i) SPARK_INLINE_LAMBDA {
        const auto whole = hn::Add(hn::ShiftLeft<8>(high[r][i]), low[r][i]);
        const FloatVec old = hn::LoadU(df, sums + 16 * i);
        hn::StoreU(hn::MulAdd(hn::ConvertTo(df, whole), step, old), df, sums + 16 * i);
      });
    });
  }

  const RowsView& values_;
  size_t n_rows_;
  size_t groups_;
  uint8_t* weights_;
  float* sums_;   // [n_rows, D], channels in the order of LoadQuad()
  float* steps_;  // [groups]
};

#else

class CodeValues {
 public:
  static bool Takes(const RowsView&) { return false; }
  CodeValues(const RowsView&, size_t, float*) {}
  void Add(size_t, size_t, const float*, size_t) {}
  void Finish(float*) const {}
};

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_CODE_VALUES_INL_H_
