// A few tokens' keys or values as plain f32 rows, from the packed form.
#if defined(SPARK_BACKEND_CPU_EXPAND_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_EXPAND_ROWS_INL_H_
#undef SPARK_BACKEND_CPU_EXPAND_ROWS_INL_H_
#else
#define SPARK_BACKEND_CPU_EXPAND_ROWS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/expand_table.h"
#include "backend/cpu/lanes-inl.h"
#include "base/half.h"
#include "hwy/highway.h"
#include "kv/packed_row.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// [n] stored floats to f32. Reads whole vectors: a store has kReadSlack bytes behind its end, and
// so must `out` have room for them.
template <class T>
HWY_INLINE void ExpandFloats(const T* in, size_t n, float* HWY_RESTRICT out) {
  const FloatTag df;
  for (size_t i = 0; i < n; i += hn::Lanes(df)) {
    hn::StoreU(LoadFloats(df, in + i), df, out + i);
  }
}

// Bits [j, j + n) of a mask row, n <= 16. Reads up to three bytes behind the row.
HWY_INLINE uint32_t BitsAt(const uint8_t* row, size_t j, size_t n) {
  uint32_t bits;
  std::memcpy(&bits, row + j / 8, sizeof(bits));
  return (bits >> (j % 8)) & ((uint32_t{1} << n) - 1);
}

// hwy::PopCount() is compiled once for all targets, without the instruction that most of them have.
HWY_INLINE size_t CountBits(uint32_t bits) { return static_cast<size_t>(__builtin_popcount(bits)); }

template <class D>
HWY_INLINE hn::Mask<D> MaskOfBits(D d, uint32_t bits) {
  uint8_t bytes[8] = {};
  std::memcpy(bytes, &bits, sizeof(bits));
  return hn::LoadMaskBits(d, bytes);
}

// Lane i: the next lane of `v` if bit i is set, else unspecified.
HWY_INLINE FloatVec ExpandLanes(FloatVec v, uint32_t bits) {
  [[maybe_unused]] const FloatTag df;
#if HWY_TARGET == HWY_SCALAR
  return (void)bits, v;
#elif HWY_HAVE_SCALABLE || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)
  return hn::Expand(v, MaskOfBits(df, bits));  // one instruction
#else
  const hn::Rebind<uint8_t, FloatTag> d8;
  const hn::RebindToSigned<FloatTag> di;
  const auto ranks = hn::LoadU(d8, kRanks[bits].data());
  return hn::TableLookupLanes(v, hn::IndicesFromVec(df, hn::PromoteTo(di, ranks)));
#endif
}

// Element 2i is in the low half of byte i; zero stands for 8. 16 bytes to 32 codes.
HWY_INLINE void SplitNibbles(const uint8_t* in, int8_t* HWY_RESTRICT codes) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < 16; ++i) {
    codes[2 * i] = static_cast<int8_t>((in[i] & 15) - 8);
    codes[2 * i + 1] = static_cast<int8_t>((in[i] >> 4) - 8);
  }
#else
  const hn::CappedTag<uint8_t, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto pairs = hn::LoadU(d, in);
  const auto even = hn::And(pairs, hn::Set(d, uint8_t{15}));
  const auto odd = hn::ShiftRight<4>(pairs);
  const auto zero = hn::Set(di, int8_t{8});
  const auto low = hn::BitCast(di, hn::InterleaveLower(d, even, odd));
  const auto high = hn::BitCast(di, hn::InterleaveUpper(d, even, odd));
  hn::StoreU(hn::Sub(low, zero), di, codes);
  hn::StoreU(hn::Sub(high, zero), di, codes + 16);
#endif
}

HWY_INLINE float HalfAt(const std::byte* p) {
  const hn::CappedTag<float, 1> df;
  return hn::GetLane(LoadFloats(df, reinterpret_cast<const hwy::float16_t*>(p)));
}

// A packed row of n codes and their scales to f32, which equals UnpackRow() of kv/packed_row.h.
// out: [n rounded up to 16]. Reads up to 16 bytes behind the row.
template <DType kType>
HWY_INLINE void UnpackCodes(const std::byte* row, size_t n, float* HWY_RESTRICT out) {
  static_assert(kType == DType::kQ8_0 || kType == DType::kQ4_0);
  const FloatTag df;
  const hn::Rebind<int8_t, FloatTag> d8;
  const hn::Rebind<int32_t, FloatTag> di;
  const auto* bytes = reinterpret_cast<const uint8_t*>(row) + PackedScaleBytes(kType, n);
  HWY_ALIGN int8_t split[kScaleGroup];
  for (size_t first = 0; first < n; first += kScaleGroup) {
    const FloatVec scale = hn::Set(df, HalfAt(row + first / kScaleGroup * sizeof(F16)));
    if constexpr (kType == DType::kQ4_0) SplitNibbles(bytes + first / 2, split);
    const int8_t* codes =
        kType == DType::kQ4_0 ? split : reinterpret_cast<const int8_t*>(bytes + first);
    const size_t count = HWY_MIN(kScaleGroup, n - first);
    for (size_t i = 0; i < count; i += hn::Lanes(df)) {
      const auto code = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, codes + i)));
      hn::StoreU(hn::Mul(scale, code), df, out + first + i);
    }
  }
}

// What a pruned channel of a sparse store counts as.
enum class Pruned { kZero, kFill, kSignedFill };

// One token (spark.md §3): kept channels as stored, the others 0 or ±scalar * fill. row: [D rounded
// up to 16]. Whole vectors of kept values are loaded, at most kReadSlack bytes behind the last one.
// Returns where the next token's begin.
template <Pruned kPruned, class T>
HWY_INLINE const T* ExpandSparseRow(const RowsView& rows, size_t t, const T* kept, float scalar,
                                    float* HWY_RESTRICT row) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t dim = rows.head_dim;
  const uint8_t* mask = rows.masks + t * MaskBytes(dim);
  const uint8_t* sign = kPruned == Pruned::kSignedFill ? rows.signs + t * MaskBytes(dim) : nullptr;
  const float* fills = rows.fill;
  const FloatVec unit = hn::Set(df, scalar);
  for (size_t j = 0; j < dim; j += lanes) {
    const uint32_t bits = BitsAt(mask, j, HWY_MIN(lanes, dim - j));
    FloatVec x = ExpandLanes(LoadFloats(df, kept), bits);
    kept += CountBits(bits);
    if constexpr (kPruned == Pruned::kZero) {
      x = hn::IfThenElseZero(MaskOfBits(df, bits), x);
    } else {
      FloatVec fill = hn::Mul(unit, hn::LoadU(df, fills + j));
      if constexpr (kPruned == Pruned::kSignedFill) {
        const auto positive = MaskOfBits(df, BitsAt(sign, j, lanes));
        fill = hn::IfThenElse(positive, fill, hn::Neg(fill));
      }
      x = hn::IfThenElse(MaskOfBits(df, bits), x, fill);
    }
    hn::StoreU(x, df, row + j);
  }
  return kept;
}

// Where a token's packed row begins.
inline const std::byte* PackedRowAt(const RowsView& rows, size_t t) {
  if (rows.offsets == nullptr) return rows.values + t * rows.row_bytes;
  const size_t mask_bytes = MaskBytes(rows.head_dim);
  const size_t known = t / SparseStore::kOffsetTokens;
  const std::byte* row = rows.values + rows.offsets[known];
  for (size_t i = known * SparseStore::kOffsetTokens; i < t; ++i) {
    row += PackedRowBytes(rows.type, CountMaskBits(rows.masks + i * mask_bytes, mask_bytes));
  }
  return row;
}

// Rows whose lengths differ lie one after the other; equal ones are found independently, so that
// the processor can work on several at once.
template <Pruned kPruned, class T>
HWY_NOINLINE void ExpandSparseFloats(const RowsView& rows, size_t first, size_t count,
                                     const float* scalars, float* HWY_RESTRICT out, size_t stride) {
  const T* begin = reinterpret_cast<const T*>(PackedRowAt(rows, first));
  const T* next = begin;
  for (size_t i = 0; i < count; ++i) {
    const T* kept = rows.offsets == nullptr ? begin + i * rows.width : next;
    next = ExpandSparseRow<kPruned>(rows, first + i, kept, scalars[i], out + i * stride);
  }
}

// The same by way of kExpandedAhead rows of floats, `kept`. Some at a time: vectors of kept values
// begin anywhere, and a load that overlaps a store still under way has to wait for it.
template <Pruned kPruned, DType kType>
HWY_NOINLINE void ExpandSparseCodes(const RowsView& rows, size_t first, size_t count,
                                    const float* scalars, float* HWY_RESTRICT out, size_t stride,
                                    float* HWY_RESTRICT kept) {
  const size_t mask_bytes = MaskBytes(rows.head_dim);
  const std::byte* row = PackedRowAt(rows, first);
  for (size_t i = 0; i < count; i += kExpandedAhead) {
    const size_t n = HWY_MIN(kExpandedAhead, count - i);
    for (size_t k = 0; k < n; ++k) {
      size_t width = rows.width;
      if (rows.offsets != nullptr) {
        width = CountMaskBits(rows.masks + (first + i + k) * mask_bytes, mask_bytes);
      }
      UnpackCodes<kType>(row, width, kept + k * stride);
      row += PackedRowBytes(kType, width);
    }
    for (size_t k = 0; k < n; ++k) {
      const float* values = kept + k * stride;
      ExpandSparseRow<kPruned>(rows, first + i + k, values, scalars[i + k], out + (i + k) * stride);
    }
  }
}

template <Pruned kPruned>
void ExpandSparseRows(const RowsView& rows, size_t first, size_t count, const float* scalars,
                      float* HWY_RESTRICT out, size_t stride) {
  float* kept = out + kTokenTile * stride;
  switch (rows.type) {
    case DType::kF16:
      return ExpandSparseFloats<kPruned, hwy::float16_t>(rows, first, count, scalars, out, stride);
    case DType::kBF16:
      return ExpandSparseFloats<kPruned, hwy::bfloat16_t>(rows, first, count, scalars, out, stride);
    case DType::kQ8_0:
      return ExpandSparseCodes<kPruned, DType::kQ8_0>(rows, first, count, scalars, out, stride,
                                                      kept);
    case DType::kQ4_0:
      return ExpandSparseCodes<kPruned, DType::kQ4_0>(rows, first, count, scalars, out, stride,
                                                      kept);
    default:
      return ExpandSparseFloats<kPruned, float>(rows, first, count, scalars, out, stride);
  }
}

// Plain floats with every channel need no expanding: kernels read them as they lie.
inline bool IsPlain(const RowsView& rows) {
  return rows.masks == nullptr && !IsQuantized(rows.type);
}

// As ExpandRows(), of a sparse store without its centre.
inline void ExpandSparse(const RowsView& rows, size_t first, size_t count, float* HWY_RESTRICT out,
                         size_t stride) {
  HWY_ALIGN float scalars[kTokenTile + 16] = {};
  if (rows.scalars == nullptr) {
    return ExpandSparseRows<Pruned::kZero>(rows, first, count, scalars, out, stride);
  }
  WithFloatType(rows.scalar_type, rows.scalars,
                [&](const auto* s) HWY_ATTR { ExpandFloats(s + first, count, scalars); });
  if (rows.signs == nullptr) {
    ExpandSparseRows<Pruned::kFill>(rows, first, count, scalars, out, stride);
  } else {
    ExpandSparseRows<Pruned::kSignedFill>(rows, first, count, scalars, out, stride);
  }
}

// Tokens whose keys lie in lanes, see LaneStore: the plane of signs in vectors, then the residuals.
inline void ExpandLaneRows(const LaneStore& keys, size_t first, size_t count,
                           float* HWY_RESTRICT out, size_t stride) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  const size_t dim = keys.head_dim();
  for (size_t i = 0; i < count; ++i) {
    const size_t t = first + i;
    const std::byte* tile = keys.Tile(t / LaneLayout::kTokens);
    const size_t lane = t % LaneLayout::kTokens;
    float* row = out + i * stride;
    const FloatVec scalar = hn::Set(df, keys.Scalar(t));
    for (size_t j = 0; j < dim; j += lanes) {
      const size_t word = (j / 32 * LaneLayout::kTokens + lane) * 4;
      uint32_t bits;
      std::memcpy(&bits, tile + LaneLayout::kSigns + word, sizeof(bits));
      const auto positive = MaskOfBits(df, bits >> (j % 32) & ((uint32_t{1} << lanes) - 1));
      const FloatVec fill = hn::Mul(scalar, hn::LoadU(df, keys.fill() + j));
      const FloatVec x = hn::IfThenElse(positive, fill, hn::Neg(fill));
      const FloatVec centre =
          keys.centre() == nullptr ? hn::Zero(df) : hn::LoadU(df, keys.centre() + j);
      hn::StoreU(hn::Add(x, centre), df, row + j);
    }
    const float scale = keys.Scale(t);
    for (size_t k = 0; k < keys.n_kept(); ++k) {
      row[keys.Channel(t, k)] += scale * static_cast<float>(keys.Code(t, k));
    }
  }
}

// Tokens [first, first + count), count <= kTokenTile, of a store that is not plain. out: [count,
// stride], stride = `width` or D rounded up to 16. There is room for kScratchRows rows and 16
// floats: what follows the first kTokenTile rows is working memory.
inline void ExpandRows(const RowsView& rows, size_t first, size_t count, float* HWY_RESTRICT out,
                       size_t stride) {
  if (rows.sampled != nullptr) {  // an ablation of the paper; nobody waits for it
    for (size_t i = 0; i < count; ++i) rows.sampled->ReadRow(first + i, out + i * stride);
    return;
  }
  if (rows.lanes != nullptr) return ExpandLaneRows(*rows.lanes, first, count, out, stride);
  if (rows.masks == nullptr) {
    for (size_t i = 0; i < count; ++i) {
      const std::byte* row = rows.values + (first + i) * rows.row_bytes;
      if (rows.type == DType::kQ8_0) {
        UnpackCodes<DType::kQ8_0>(row, rows.width, out + i * stride);
      } else {
        UnpackCodes<DType::kQ4_0>(row, rows.width, out + i * stride);
      }
    }
    return;
  }
  ExpandSparse(rows, first, count, out, stride);
  if (rows.centre == nullptr) return;
  const FloatTag df;
  for (size_t i = 0; i < count; ++i) {
    float* row = out + i * stride;
    for (size_t j = 0; j < rows.head_dim; j += hn::Lanes(df)) {
      hn::StoreU(hn::Add(hn::LoadU(df, row + j), hn::LoadU(df, rows.centre + j)), df, row + j);
    }
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_EXPAND_ROWS_INL_H_
