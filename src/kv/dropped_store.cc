#include "kv/dropped_store.h"

#include <algorithm>

namespace spark {

void DroppedKeyStore::Append(const float* keys, size_t n, size_t stride) {
  rows_.Reserve(rows_.size() + n);
  std::vector<float> row(channels_.size());
  for (size_t t = 0; t < n; ++t) {
    for (size_t i = 0; i < channels_.size(); ++i) row[i] = keys[t * stride + channels_[i]];
    rows_.Append(row.data(), 1, row.size());
  }
}

DroppedKeyStore DroppedKeyStore::Select(std::span<const uint32_t> tokens) const {
  DroppedKeyStore store(channels_, rows_.type(), head_dim_);
  store.rows_ = rows_.Select(tokens);
  return store;
}

void DroppedKeyStore::ReadRow(size_t t, float* out) const {
  std::vector<float> row(channels_.size());
  rows_.ReadRow(t, row.data());
  std::fill_n(out, head_dim_, 0.0f);
  for (size_t i = 0; i < channels_.size(); ++i) out[channels_[i]] = row[i];
}

}  // namespace spark
