// Rows of one KV head with a different set of channels kept for every token: SparK's keys, and
// values pruned in the same manner (arXiv 2508.15212).
//
// Goals: the bytes that the ratio promises; a token is found without a table of tokens; scores and
// sums computed from the packed form. Non-goal: changing a token once it is packed.
//
// Layout for n tokens, D channels, T kept channels a token (a structure of arrays):
//   values  rows of the T kept channels in channel order, packed one after the other (packed_row.h)
//   masks   [n, ceil(D/8)]  bit j%8 of byte j/8: channel j is kept
//   signs   [n, ceil(D/8)]  the same, x[t,j] > 0; recoveries `mean` and `sampled` only
//   scalars [n]             s[t], in units of a scale; f32 beside f32 values, else f16; not `zero`
//   fill    [D]             f32, what a scalar counts for in channel j, times the scale; not `zero`
//   offsets [ceil(n/64)]    u32, only if T differs between tokens: where in `values` the rows of
//                           tokens 64i, 64i+1, … begin; a row's length follows from its mask
//   centre  [D]             f32, only if the rows are differences from it: added to every token
// A pruned channel reads as ±s[t] * fill[j] (`mean`: the sign plane's), s[t] * fill[j] (`constant`)
// or 0 (`zero`). With recovery `sampled` the scalars are f32 in units of 1, and a pruned channel
// reads as ±a[t,j] * fill[j], the amplitudes a of sampled_fill.h.
//
// A sign plane with a sparse residual and index bytes is LaneStore (lane_store.h); which is chosen
// when: docs/decisions.md.
#ifndef SPARK_KV_SPARSE_STORE_H_
#define SPARK_KV_SPARSE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/dtype.h"
#include "kv/channel_mask.h"
#include "kv/packed_row.h"
#include "kv/sampled_fill.h"

namespace spark {

// What a pruned channel counts as.
enum class Recovery : uint8_t {
  kMean,      // keys: sign(k) * sqrt(mean pruned contribution / w), spark.md §3
  kZero,      // 0
  kConstant,  // values: the mean of the token's pruned values
  kSampled,   // keys: as `mean`, but of drawn contributions, spark.md §3
};

// What Pack() is given; views of arrays that it only reads.
struct SparseInput {
  const float* rows = nullptr;  // token t, channel j at rows[t * stride + j]
  size_t stride = 0;
  size_t n_tokens = 0;
  size_t head_dim = 0;
  const uint8_t* masks = nullptr;  // [n_tokens, MaskBytes(head_dim)], any number of bits in each
  std::span<const float> scalars;  // [n_tokens]; not for kZero
  std::span<const float> fill;     // [head_dim]; kMean and kSampled only, 1 for kConstant
  const SampledInput* samples = nullptr;  // kSampled only
  std::span<const float> centre{};        // [head_dim], or empty: what was subtracted from all rows
};

// f16 reaches from 6e-8 to 65504 and contributions know no bounds, so 16-bit scalars are shares of
// the largest one, and this unit moves into `fill`. 1 if all are 0.
float ScalarUnit(std::span<const float> scalars);

struct SparseArrays;  // store_parts.h

class SparseStore {
 public:
  // Throws Error for a type that no cache is stored in, and where SampledFill does.
  static SparseStore Pack(const SparseInput& input, DType value_type, Recovery recovery);

  // The tokens with these numbers, ascending; nothing is rounded again.
  SparseStore Select(std::span<const uint32_t> tokens) const;

  // All tokens of stores of one type, recovery and head_dim, in order. Kept values, masks and signs
  // stay as they are; scalars are rewritten for the last store's fill (merge.cc).
  static SparseStore Concatenate(std::span<const SparseStore* const> stores);

  // What a file keeps of a store, and the store made of it again (store_parts.cc). FromArrays()
  // throws Error unless every length, mask and number is one that Pack() could have made.
  SparseArrays Arrays() const;
  static SparseStore FromArrays(const SparseArrays& arrays, DType value_type, Recovery recovery,
                                size_t head_dim, size_t n_tokens);

  DType value_type() const { return value_type_; }
  Recovery recovery() const { return recovery_; }
  bool sampled() const { return recovery_ == Recovery::kSampled; }  // read it with ReadRow()
  size_t size() const { return size_; }
  size_t head_dim() const { return head_dim_; }
  bool uniform() const { return offsets_.size() == 0; }  // every token keeps as many channels
  size_t n_kept() const { return n_kept_; }              // how many, if so

  static constexpr size_t kOffsetTokens = 64;  // tokens between two offsets

  // The arrays above; every one is readable kReadSlack bytes past its end.
  const std::byte* values() const { return values_.data(); }
  const uint32_t* offsets() const { return reinterpret_cast<const uint32_t*>(offsets_.data()); }
  const uint8_t* masks() const { return reinterpret_cast<const uint8_t*>(masks_.data()); }
  const uint8_t* signs() const { return reinterpret_cast<const uint8_t*>(signs_.data()); }
  const float* fill() const { return reinterpret_cast<const float*>(fill_.data()); }
  const float* centre() const { return reinterpret_cast<const float*>(centre_.data()); }  // or null
  const std::byte* scalars() const { return scalars_.data(); }
  DType scalar_type() const {
    return value_type_ == DType::kF32 || sampled() ? DType::kF32 : DType::kF16;
  }

  const uint8_t* Mask(size_t t) const { return masks() + t * MaskBytes(head_dim_); }
  size_t Kept(size_t t) const;  // channels that token t keeps
  const std::byte* Row(size_t t) const;
  float Scalar(size_t t) const;  // 0 for kZero

  void ReadRow(size_t t, float* out) const;  // out: [head_dim], as attention sees it

  size_t ValueBytes() const { return values_.AllocatedBytes() + offsets_.AllocatedBytes(); }
  size_t MaskPlaneBytes() const { return masks_.AllocatedBytes() + samples_.RankBytes(); }
  size_t SignPlaneBytes() const { return signs_.AllocatedBytes(); }
  size_t ScalarBytes() const {
    return scalars_.AllocatedBytes() + fill_.AllocatedBytes() + centre_.AllocatedBytes() +
           samples_.MomentBytes();
  }
  size_t AllocatedBytes() const {
    return ValueBytes() + MaskPlaneBytes() + SignPlaneBytes() + ScalarBytes();
  }

 private:
  SparseStore() = default;

  bool signed_fill() const { return recovery_ == Recovery::kMean || sampled(); }
  void LayOutRows();  // from the masks: n_kept_, offsets_ and room in values_
  void PackToken(const SparseInput& input, size_t t, std::span<float> row);
  void PackScalars(const SparseInput& input);

  DType value_type_ = DType::kF16;
  Recovery recovery_ = Recovery::kMean;
  size_t size_ = 0;
  size_t head_dim_ = 0;
  size_t n_kept_ = 0;
  AlignedBytes values_, offsets_, masks_, signs_, scalars_, fill_, centre_;
  SampledFill samples_;
};

}  // namespace spark

#endif  // SPARK_KV_SPARSE_STORE_H_
