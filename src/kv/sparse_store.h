// Keys of one KV head with a different set of channels kept for every token (SparK, arXiv
// 2508.15212).
//
// Goals: the bytes that the ratio promises; fixed strides, so that token t is found without a
// table; scores computed from the packed form. Non-goal: changing a token once it is packed.
//
// Layout for n tokens, D channels, T kept channels a token (a structure of arrays):
//   values  [n, T]          kept k[t,j] in channel order; f32, f16 or bf16
//   masks   [n, ceil(D/8)]  bit j%8 of byte j/8: channel j is kept
//   signs   [n, ceil(D/8)]  the same, k[t,j] > 0; recovery `mean` only
//   scalars [n]             s[t], in units of scale(); f32 beside f32 values, else f16; `mean` only
//   fill    [D]             f32, scale() / sqrt(w[j]), 0 where w[j] = 0; `mean` only
// so that  k̂[t,j] = values[rank of j] if kept, else ±scalars[t] * fill[j].
//
// Chosen over a sign plane with a sparse residual and over index bytes: docs/decisions.md.
#ifndef SPARK_KV_SPARSE_STORE_H_
#define SPARK_KV_SPARSE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/dtype.h"

namespace spark {

// What a pruned channel counts as when a score is computed.
enum class Recovery : uint8_t { kMean, kZero };

// What Pack() is given; views of arrays that it only reads.
struct SparseKeyInput {
  const float* keys = nullptr;  // token t, channel j at keys[t * stride + j]; RoPE applied
  size_t stride = 0;
  size_t n_tokens = 0;
  size_t head_dim = 0;
  const uint8_t* masks = nullptr;  // [n_tokens, MaskBytes(head_dim)]; n_kept bits set in each
  size_t n_kept = 0;
  std::span<const float> scalars;     // [n_tokens] sqrt of the mean pruned contribution
  std::span<const float> inv_sqrt_w;  // [head_dim] 1/sqrt(w[j]), 0 where w[j] = 0
};

constexpr size_t MaskBytes(size_t head_dim) { return (head_dim + 7) / 8; }

// Channel j in one token's row of a mask or sign plane.
constexpr bool MaskBit(const uint8_t* row, size_t j) { return (row[j / 8] >> (j % 8)) & 1; }

class SparseKeyStore {
 public:
  // Throws Error for a value type other than f32, f16 and bf16.
  static SparseKeyStore Pack(const SparseKeyInput& input, DType value_type, Recovery recovery);

  DType value_type() const { return value_type_; }
  Recovery recovery() const { return recovery_; }
  size_t size() const { return size_; }
  size_t head_dim() const { return head_dim_; }
  size_t n_kept() const { return n_kept_; }

  // The arrays above; every one is readable kReadSlack bytes past its end.
  const std::byte* values() const { return values_.data(); }
  const uint8_t* masks() const { return reinterpret_cast<const uint8_t*>(masks_.data()); }
  const uint8_t* signs() const { return reinterpret_cast<const uint8_t*>(signs_.data()); }
  const float* fill() const { return reinterpret_cast<const float*>(fill_.data()); }
  const std::byte* scalars() const { return scalars_.data(); }
  DType scalar_type() const { return value_type_ == DType::kF32 ? DType::kF32 : DType::kF16; }
  float Scalar(size_t t) const;

  void ReadRow(size_t t, float* out) const;  // out: [head_dim], the key as a score sees it

  size_t ValueBytes() const { return values_.AllocatedBytes(); }
  size_t MaskPlaneBytes() const { return masks_.AllocatedBytes(); }
  size_t SignPlaneBytes() const { return signs_.AllocatedBytes(); }
  size_t ScalarBytes() const { return scalars_.AllocatedBytes() + fill_.AllocatedBytes(); }

 private:
  SparseKeyStore() = default;

  void PackToken(const SparseKeyInput& input, size_t t, std::span<float> row);
  void PackScalars(const SparseKeyInput& input);

  DType value_type_ = DType::kF16;
  Recovery recovery_ = Recovery::kMean;
  size_t size_ = 0;
  size_t head_dim_ = 0;
  size_t n_kept_ = 0;
  AlignedBytes values_, masks_, signs_, scalars_, fill_;
};

}  // namespace spark

#endif  // SPARK_KV_SPARSE_STORE_H_
