#include "kv/dense_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/convert.h"
#include "spark/error.h"

namespace spark {

DenseStore::DenseStore(DType type, size_t dim)
    : type_(type), dim_(dim), row_bytes_(dim * Traits(type).block_bytes) {
  if (IsQuantized(type)) {
    throw Error(fmt::format("a KV cache cannot be stored as {} yet", Name(type)),
                {.allowed = "f32, f16, bf16"});
  }
}

void DenseStore::Append(const float* rows, size_t n, size_t stride) {
  const size_t room = bytes_.size() / row_bytes_;
  if (size_ + n > room) Reserve(std::max(size_ + n, room + std::max(kGrowTokens, room / 4)));
  for (size_t i = 0; i < n; ++i) {
    FromFloats(type_, rows + i * stride, dim_, bytes_.data() + (size_ + i) * row_bytes_);
  }
  size_ += n;
}

void DenseStore::Reserve(size_t n) {
  if (n * row_bytes_ > bytes_.size()) bytes_.Resize(n * row_bytes_);
}

void DenseStore::Truncate(size_t n) { size_ = std::min(size_, n); }

void DenseStore::ReadRow(size_t t, float* out) const {
  ToFloats(type_, bytes_.data() + t * row_bytes_, dim_, out);
}

}  // namespace spark
