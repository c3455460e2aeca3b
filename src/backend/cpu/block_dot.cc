#include "backend/cpu/block_dot.h"

#include "base/tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/block_dot.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/block_lanes-inl.h"
#include "backend/cpu/block_strips-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/superblock-inl.h"
#include "backend/cpu/weight_memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

size_t UnitsKernel() { return kUnits; }

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE || (HWY_TARGET & HWY_ALL_SVE)

void MakeStripsKernel(StripKind, const QuantizedRow&, size_t, std::byte*) {}
void BlockDotRowsKernel(const Weight&, size_t, size_t, const std::byte*, float*) {}

#else

void MakeStripsKernel(StripKind kind, const QuantizedRow& x, size_t cols, std::byte* out) {
  kind == StripKind::kSuperblocks ? MakeSuperStrips(x, cols, out) : MakeGroupStrips(x, cols, out);
}

template <class Blocks>
HWY_INLINE FloatLanes RowSum(const uint8_t* row, size_t cols, const std::byte* strips) {
  if constexpr (Blocks::kElements == kSuper) {
    return SuperRowSum<Blocks>(row, cols, strips);
  } else {
    return GroupRowSum<Blocks>(row, cols, strips);
  }
}

// Rows one after the other, in the order of their bytes: four at once share the loads of
// activations, but were slower from memory.
template <class Blocks>
HWY_NOINLINE void DotRowsOf(const Weight& w, size_t first, size_t n_rows, const std::byte* strips,
                            float* out) {
  const BlockFloats df;
  const size_t row_bytes = w.cols / Blocks::kElements * Blocks::kBytes;
  const auto* row = reinterpret_cast<const uint8_t*>(w.data) + first * row_bytes;
  const uint8_t* last = row + n_rows * row_bytes;
  const uint8_t* ahead = row;
  HWY_ALIGN float lanes[4][4 * kUnits];  // of four rows, whose sums over lanes are made together
  for (size_t i = 0; i < n_rows; ++i, row += row_bytes) {
    if (i % 4 == 0 && Bursts()) {
      const uint8_t* end = HWY_MIN(row + 4 * row_bytes + kPrefetchBytes, last);
      for (; ahead < end; ahead += 64) hwy::Prefetch(ahead);
    }
    const FloatLanes sum = RowSum<Blocks>(row, w.cols, strips);
    if (i >= n_rows / 4 * 4) {
      out[i] = hn::ReduceSum(df, sum);
      continue;
    }
    hn::Store(sum, df, lanes[i % 4]);
    if (i % 4 != 3) continue;
    Sum4(df, hn::Load(df, lanes[0]), hn::Load(df, lanes[1]), hn::Load(df, lanes[2]),
         hn::Load(df, lanes[3]), out + i - 3);
  }
}

void BlockDotRowsKernel(const Weight& w, size_t first, size_t n_rows, const std::byte* strips,
                        float* out) {
#define SPARK_DOT_ROWS(TYPE) \
  case DType::k##TYPE:       \
    return DotRowsOf<TYPE##Blocks>(w, first, n_rows, strips, out)
  switch (w.type) {
    SPARK_DOT_ROWS(Q4_0);
    SPARK_DOT_ROWS(Q4_1);
    SPARK_DOT_ROWS(Q5_0);
    SPARK_DOT_ROWS(Q5_1);
    SPARK_DOT_ROWS(Q8_0);
    SPARK_DOT_ROWS(IQ4_NL);
    SPARK_DOT_ROWS(Q4_K);
    SPARK_DOT_ROWS(Q5_K);
    SPARK_DOT_ROWS(Q6_K);
    SPARK_DOT_ROWS(Q2_K);
    SPARK_DOT_ROWS(Q3_K);
    SPARK_DOT_ROWS(IQ4_XS);
    default:
      break;  // HasBlockDot() says no
  }
#undef SPARK_DOT_ROWS
}

#endif  // HWY_SCALAR, scalable

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(UnitsKernel);
HWY_EXPORT(MakeStripsKernel);
HWY_EXPORT(BlockDotRowsKernel);

bool HasBlockDot(DType type, size_t cols) {
  const size_t units = HWY_DYNAMIC_DISPATCH(UnitsKernel)();
  if (units == 0 || !IsQuantized(type) || type == DType::kQ8_K) return false;
  return StripsOf(type) == StripKind::kSuperblocks || cols / 32 >= units;
}

StripKind StripsOf(DType type) {
  return Traits(type).block_elements == 256 ? StripKind::kSuperblocks : StripKind::kGroups;
}

// A group: 32 bytes of q, four lanes of two floats. A superblock: 256 bytes of q, scale and sum of
// 16 and of 8 groups.
size_t BlockStripBytes(StripKind kind, size_t cols) {
  if (kind == StripKind::kSuperblocks) return cols / 256 * (256 + 2 * (16 + 8) * sizeof(float));
  const size_t units = HWY_DYNAMIC_DISPATCH(UnitsKernel)();
  return RoundUp(cols / 32, units) * 64;
}

void MakeBlockStrips(StripKind kind, const QuantizedRow& x, size_t cols, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(MakeStripsKernel)(kind, x, cols, out);
}
void BlockDotRows(const Weight& w, size_t first, size_t n_rows, const std::byte* strips,
                  float* out) {
  HWY_DYNAMIC_DISPATCH(BlockDotRowsKernel)(w, first, n_rows, strips, out);
}

}  // namespace spark
#endif  // HWY_ONCE
