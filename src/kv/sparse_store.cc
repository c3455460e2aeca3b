#include "kv/sparse_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/convert.h"
#include "base/half.h"
#include "base/parts.h"
#include "kv/mask_bits.h"
#include "kv/sign_plane.h"
#include "spark/error.h"

namespace spark {

SparseStore SparseStore::Pack(const SparseInput& input, DType value_type, Recovery recovery) {
  CheckCacheType(value_type);
  SparseStore store;
  store.value_type_ = value_type;
  store.recovery_ = recovery;
  store.size_ = input.n_tokens;
  store.head_dim_ = input.head_dim;

  const size_t plane_bytes = input.n_tokens * MaskBytes(input.head_dim);
  store.masks_.Resize(plane_bytes);
  if (plane_bytes > 0) std::memcpy(store.masks_.data(), input.masks, plane_bytes);
  store.LayOutRows();
  if (store.signed_fill()) store.signs_.Resize(plane_bytes);
  if (recovery != Recovery::kZero) store.PackScalars(input);
  if (store.sampled()) {
    store.samples_ = SampledFill(*input.samples, input.masks, input.n_tokens, input.head_dim);
  }
  if (!input.centre.empty()) store.centre_.Assign(std::as_bytes(input.centre));
  const size_t part = store.uniform() ? kPartTokens : input.n_tokens;  // others are found in order
  std::vector<float> rows((input.n_tokens / part + 1) * input.head_dim);
  ForParts(input.n_tokens, part, [&](size_t first, size_t last) {
    const std::span<float> row(rows.data() + first / part * input.head_dim, input.head_dim);
    for (size_t t = first; t < last; ++t) store.PackToken(input, t, row);
  });
  return store;
}

void SparseStore::LayOutRows() {
  n_kept_ = size_ > 0 ? CountMaskBits(Mask(0), MaskBytes(head_dim_)) : 0;
  bool same = true;
  size_t bytes = 0;
  std::vector<uint32_t> offsets;
  for (size_t t = 0; t < size_; ++t) {
    const size_t kept = CountMaskBits(Mask(t), MaskBytes(head_dim_));
    same = same && kept == n_kept_;
    if (t % kOffsetTokens == 0) {
      if (bytes > UINT32_MAX) throw Error("more than 4 GiB of kept values in one segment");
      offsets.push_back(static_cast<uint32_t>(bytes));
    }
    bytes += PackedRowBytes(value_type_, kept);
  }
  values_.Resize(bytes);
  if (same) return;
  offsets_.Assign(std::as_bytes(std::span(offsets)));
}

size_t SparseStore::Kept(size_t t) const {
  return uniform() ? n_kept_ : CountMaskBits(Mask(t), MaskBytes(head_dim_));
}

const std::byte* SparseStore::Row(size_t t) const {
  if (uniform()) return values() + t * PackedRowBytes(value_type_, n_kept_);
  const std::byte* row = values() + offsets()[t / kOffsetTokens];
  for (size_t i = t / kOffsetTokens * kOffsetTokens; i < t; ++i) {
    row += PackedRowBytes(value_type_, Kept(i));
  }
  return row;
}

void SparseStore::PackToken(const SparseInput& input, size_t t, std::span<float> row) {
  const float* x = input.rows + t * input.stride;
  const uint8_t* mask = Mask(t);
  size_t rank = 0;
  ForMaskBits(mask, MaskBytes(head_dim_), [&](size_t j) { row[rank++] = x[j]; });
  PackRow(value_type_, row.data(), rank, values_.data() + (Row(t) - values()));
  if (!signed_fill()) return;
  PackSigns(x, head_dim_, reinterpret_cast<uint8_t*>(signs_.data()) + t * MaskBytes(head_dim_));
}

float ScalarUnit(std::span<const float> scalars) {
  float largest = 0;
  for (const float scalar : scalars) largest = std::max(largest, std::abs(scalar));
  return largest > 0 ? largest : 1.0f;
}

void SparseStore::PackScalars(const SparseInput& input) {
  const float scale = scalar_type() == DType::kF32 ? 1.0f : ScalarUnit(input.scalars);
  std::vector<float> shares(input.scalars.begin(), input.scalars.end());
  for (float& share : shares) share /= scale;
  scalars_.Resize(size_ * Traits(scalar_type()).block_bytes);
  FromFloats(scalar_type(), shares.data(), size_, scalars_.data());

  fill_.Resize(head_dim_ * sizeof(float));
  auto* fill = reinterpret_cast<float*>(fill_.data());
  for (size_t j = 0; j < head_dim_; ++j) {
    fill[j] = recovery_ == Recovery::kConstant ? scale : scale * input.fill[j];
  }
}

namespace {

// Rows of `row_bytes` bytes with the given numbers, in that order.
void CopyRows(const AlignedBytes& from, size_t row_bytes, std::span<const uint32_t> rows,
              AlignedBytes& to) {
  if (from.size() == 0) return;
  to.Resize(rows.size() * row_bytes);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(to.data() + i * row_bytes, from.data() + rows[i] * row_bytes, row_bytes);
  }
}

}  // namespace

SparseStore SparseStore::Select(std::span<const uint32_t> tokens) const {
  SparseStore store;
  store.value_type_ = value_type_;
  store.recovery_ = recovery_;
  store.size_ = tokens.size();
  store.head_dim_ = head_dim_;
  CopyRows(masks_, MaskBytes(head_dim_), tokens, store.masks_);
  CopyRows(signs_, MaskBytes(head_dim_), tokens, store.signs_);
  CopyRows(scalars_, Traits(scalar_type()).block_bytes, tokens, store.scalars_);
  if (fill_.size() > 0) store.fill_.Assign(fill_.bytes());
  if (centre_.size() > 0) store.centre_.Assign(centre_.bytes());
  if (sampled()) store.samples_ = samples_.Select(tokens);
  store.LayOutRows();
  size_t at = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t bytes = PackedRowBytes(value_type_, store.Kept(i));
    std::memcpy(store.values_.data() + at, Row(tokens[i]), bytes);
    at += bytes;
  }
  return store;
}

float SparseStore::Scalar(size_t t) const {
  if (recovery_ == Recovery::kZero) return 0;
  if (scalar_type() == DType::kF32) return reinterpret_cast<const float*>(scalars_.data())[t];
  return ToFloat(reinterpret_cast<const F16*>(scalars_.data())[t]);
}

void SparseStore::ReadRow(size_t t, float* out) const {
  std::vector<float> kept(Kept(t));
  UnpackRow(value_type_, Row(t), kept.size(), kept.data());
  const uint8_t* mask = Mask(t);
  const uint8_t* sign = signs() + t * MaskBytes(head_dim_);
  const float scalar = Scalar(t);
  const std::vector<float> amplitudes =
      sampled() ? samples_.Amplitudes(t, scalar) : std::vector<float>();
  size_t rank = 0;
  for (size_t j = 0; j < head_dim_; ++j) {
    if (MaskBit(mask, j)) {
      out[j] = kept[rank++];
    } else if (recovery_ == Recovery::kZero) {
      out[j] = 0;
    } else {
      const float amplitude = sampled() ? amplitudes[j - rank] : scalar;
      const bool positive = !signed_fill() || MaskBit(sign, j);
      out[j] = (positive ? amplitude : -amplitude) * fill()[j];
    }
  }
  for (size_t j = 0; centre() != nullptr && j < head_dim_; ++j) out[j] += centre()[j];
}

}  // namespace spark
