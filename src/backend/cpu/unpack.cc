#include "backend/cpu/unpack.h"

#include <hwy/cache_control.h>

#include "base/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/unpack.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h: included once for each target.
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/unpack_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kPrefetchBytes = 4096;

// Calls unpack(in, q, scale, offset) for every block of a row.
template <class Unpack>
HWY_INLINE void ForBlocks(const Weight& w, size_t row, const UnpackedRows& out, size_t place,
                          const Unpack& unpack) {
  const DTypeTraits& traits = Traits(w.type);
  const size_t n_blocks = w.cols / traits.block_elements;
  const size_t groups_a_block = traits.block_elements / out.group;
  const auto* in = reinterpret_cast<const uint8_t*>(w.data) + row * n_blocks * traits.block_bytes;
  uint8_t* q = out.q + place * out.cols;
  float* scale = out.scales + place * out.groups();
  float* offset = out.offsets + place * out.groups();
  // Where one activation row meets the weights they come from memory, and waiting for them is most
  // of the time. Asking for what is behind the matrix does no harm.
  const size_t row_bytes = n_blocks * traits.block_bytes;
  for (size_t i = 0; i < row_bytes; i += 64) hwy::Prefetch(in + kPrefetchBytes + i);
  for (size_t b = 0; b < n_blocks; ++b) {
    unpack(in, q, scale, offset);
    in += traits.block_bytes;
    q += traits.block_elements;
    scale += groups_a_block;
    offset += groups_a_block;
  }
}

void UnpackRow(const Weight& w, size_t row, const UnpackedRows& out, size_t place) {
#define SPARK_UNPACK(TYPE)                                                          \
  case DType::k##TYPE:                                                              \
    return ForBlocks(w, row, out, place,                                            \
                     [](const uint8_t* in, uint8_t* q, float* scale, float* offset) \
                         HWY_ATTR { Unpack##TYPE(in, q, scale, offset); })
  switch (w.type) {
    SPARK_UNPACK(Q8_0);
    SPARK_UNPACK(Q4_0);
    SPARK_UNPACK(Q4_1);
    SPARK_UNPACK(Q5_0);
    SPARK_UNPACK(Q5_1);
    SPARK_UNPACK(Q4_K);
    SPARK_UNPACK(Q5_K);
    SPARK_UNPACK(Q6_K);
    SPARK_UNPACK(Q2_K);
    SPARK_UNPACK(Q3_K);
    SPARK_UNPACK(Q8_K);
    SPARK_UNPACK(IQ4_NL);
    SPARK_UNPACK(IQ4_XS);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;  // plain floats: DequantizeWeightRow() does not come here
  }
#undef SPARK_UNPACK
}

void UnpackRowsKernel(const Weight& w, size_t first, size_t n_rows, const UnpackedRows& out) {
  for (size_t i = 0; i < n_rows; ++i) UnpackRow(w, first + i, out, i);
}

// With a fused multiply-add the product is exact, so types whose offset is a multiple of the scale
// come out as d * (q - zero) rounded once, like the definition.
void DequantizeRowKernel(const UnpackedRows& rows, float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<uint8_t, decltype(df)> d8;
  const hn::Rebind<int32_t, decltype(df)> di;
  const size_t lanes = hn::Lanes(df);
  for (size_t k = 0; k < rows.cols; k += lanes) {
    const auto q = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, rows.q + k)));
    const size_t g = k / rows.group;
    hn::StoreU(hn::MulAdd(q, hn::Set(df, rows.scales[g]), hn::Set(df, rows.offsets[g])), df,
               out + k);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(UnpackRowsKernel);
HWY_EXPORT(DequantizeRowKernel);

size_t UnpackedBytes(const Weight& w, size_t n_rows) {
  return n_rows * (w.cols + 2 * sizeof(float) * (w.cols / GroupSize(w.type)));
}

UnpackedRows UnpackedAt(const Weight& w, size_t n_rows, std::byte* place) {
  const size_t group = GroupSize(w.type);
  auto* scales = reinterpret_cast<float*>(place);
  float* offsets = scales + n_rows * (w.cols / group);
  auto* q = reinterpret_cast<uint8_t*>(offsets + n_rows * (w.cols / group));
  return {q, scales, offsets, w.cols, group};
}

void UnpackRows(const Weight& w, size_t first, size_t n_rows, const UnpackedRows& out) {
  HWY_DYNAMIC_DISPATCH(UnpackRowsKernel)(w, first, n_rows, out);
}

void DequantizeWeightRow(const Weight& w, size_t row, const UnpackedRows& scratch, float* out) {
  if (!IsQuantized(w.type)) {
    ToFloats(w.type, w.data + row * w.cols * Traits(w.type).block_bytes, w.cols, out);
    return;
  }
  UnpackRows(w, row, 1, scratch);
  HWY_DYNAMIC_DISPATCH(DequantizeRowKernel)(scratch, out);
}

}  // namespace spark
#endif  // HWY_ONCE
