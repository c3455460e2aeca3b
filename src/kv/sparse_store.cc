#include "kv/sparse_store.h"

#include <algorithm>
#include <cstring>

#include "base/convert.h"
#include "base/half.h"
#include "spark/error.h"

namespace spark {
SparseKeyStore SparseKeyStore::Pack(const SparseKeyInput& input, DType value_type,
                                    Recovery recovery) {
  if (IsQuantized(value_type)) {
    throw Error("kept key values cannot be stored as " + std::string(Name(value_type)) + " yet",
                {.allowed = "f32, f16, bf16"});
  }
  SparseKeyStore store;
  store.value_type_ = value_type;
  store.recovery_ = recovery;
  store.size_ = input.n_tokens;
  store.head_dim_ = input.head_dim;
  store.n_kept_ = input.n_kept;

  const size_t plane_bytes = input.n_tokens * MaskBytes(input.head_dim);
  store.values_.Resize(input.n_tokens * input.n_kept * Traits(value_type).block_bytes);
  store.masks_.Resize(plane_bytes);
  if (plane_bytes > 0) std::memcpy(store.masks_.data(), input.masks, plane_bytes);
  if (recovery == Recovery::kMean) {
    store.signs_.Resize(plane_bytes);
    store.PackScalars(input);
  }
  std::vector<float> row(input.n_kept);
  for (size_t t = 0; t < input.n_tokens; ++t) store.PackToken(input, t, row);
  return store;
}

void SparseKeyStore::PackToken(const SparseKeyInput& input, size_t t, std::span<float> row) {
  const float* key = input.keys + t * input.stride;
  const uint8_t* mask = input.masks + t * MaskBytes(head_dim_);
  size_t rank = 0;
  for (size_t j = 0; j < head_dim_; ++j) {
    if (MaskBit(mask, j)) row[rank++] = key[j];
  }
  FromFloats(value_type_, row.data(), n_kept_,
             values_.data() + t * n_kept_ * Traits(value_type_).block_bytes);
  if (recovery_ == Recovery::kZero) return;
  auto* signs = reinterpret_cast<uint8_t*>(signs_.data()) + t * MaskBytes(head_dim_);
  for (size_t j = 0; j < head_dim_; ++j) {
    if (key[j] > 0) signs[j / 8] = static_cast<uint8_t>(signs[j / 8] | (1u << (j % 8)));
  }
}

// f16 reaches from 6e-8 to 65504 and contributions know no bounds, so 16-bit scalars are shares of
// the largest one, and the unit moves into `fill`.
void SparseKeyStore::PackScalars(const SparseKeyInput& input) {
  const bool wide = value_type_ == DType::kF32;
  float scale = 1;
  if (!wide && size_ > 0) {
    const float largest = *std::max_element(input.scalars.begin(), input.scalars.end());
    if (largest > 0) scale = largest;
  }
  std::vector<float> shares(input.scalars.begin(), input.scalars.end());
  for (float& share : shares) share /= scale;
  const DType type = wide ? DType::kF32 : DType::kF16;
  scalars_.Resize(size_ * Traits(type).block_bytes);
  FromFloats(type, shares.data(), size_, scalars_.data());

  fill_.Resize(head_dim_ * sizeof(float));
  auto* fill = reinterpret_cast<float*>(fill_.data());
  for (size_t j = 0; j < head_dim_; ++j) fill[j] = scale * input.inv_sqrt_w[j];
}

float SparseKeyStore::Scalar(size_t t) const {
  if (recovery_ == Recovery::kZero) return 0;
  if (value_type_ == DType::kF32) return reinterpret_cast<const float*>(scalars_.data())[t];
  return ToFloat(reinterpret_cast<const F16*>(scalars_.data())[t]);
}

void SparseKeyStore::ReadRow(size_t t, float* out) const {
  std::vector<float> kept(n_kept_);
  ToFloats(value_type_, values() + t * n_kept_ * Traits(value_type_).block_bytes, n_kept_,
           kept.data());
  const uint8_t* mask = masks() + t * MaskBytes(head_dim_);
  const uint8_t* sign = signs() + t * MaskBytes(head_dim_);
  const float scalar = Scalar(t);
  size_t rank = 0;
  for (size_t j = 0; j < head_dim_; ++j) {
    if (MaskBit(mask, j)) {
      out[j] = kept[rank++];
    } else if (recovery_ == Recovery::kZero) {
      out[j] = 0;
    } else {
      out[j] = (MaskBit(sign, j) ? scalar : -scalar) * fill()[j];
    }
  }
}

}  // namespace spark
