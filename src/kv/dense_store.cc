#include "kv/dense_store.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/parts.h"
#include "kv/packed_row.h"
#include "kv/store_parts.h"

namespace spark {
namespace {

uint64_t NewId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

DenseStore::DenseStore(DType type, size_t dim)
    : type_(type), dim_(dim), row_bytes_(PackedRowBytes(type, dim)), changes_{.id = NewId()} {
  CheckCacheType(type);
}

DenseStore DenseStore::FromRows(DType type, size_t dim, size_t n, std::span<const std::byte> rows) {
  DenseStore store(type, dim);
  CheckArray("rows", rows.size(), n, store.row_bytes_);
  store.bytes_.Resize(rows.size());
  if (!rows.empty()) std::memcpy(store.bytes_.data(), rows.data(), rows.size());
  store.size_ = n;
  return store;
}

void DenseStore::Append(const float* rows, size_t n, size_t stride) {
  const size_t room = capacity();
  if (size_ + n > room) Reserve(std::max(size_ + n, room + GrowthStep(room)));
  ForParts(n, kPartTokens, [&](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      PackRow(type_, rows + i * stride, dim_, bytes_.data() + (size_ + i) * row_bytes_);
    }
  });
  size_ += n;
}

void DenseStore::Append(const DenseStore& other) {
  if (other.size_ == 0) return;
  Reserve(size_ + other.size_);
  std::memcpy(bytes_.data() + size_ * row_bytes_, other.data(), other.size_ * row_bytes_);
  size_ += other.size_;
}

void DenseStore::Reserve(size_t n) {
  if (n * row_bytes_ > bytes_.size()) bytes_.Resize(n * row_bytes_);
}

void DenseStore::Truncate(size_t n) {
  if (n >= size_) return;
  size_ = n;
  changes_ = {.id = NewId()};
}

void DenseStore::Overwrite(size_t t, const float* row) {
  PackRow(type_, row, dim_, bytes_.data() + t * row_bytes_);
  ++changes_.overwrites;
  changes_.overwritten = t;
}

DenseStore DenseStore::Slice(size_t first, size_t n) const {
  DenseStore store(type_, dim_);
  if (n == 0) return store;
  store.Reserve(n);
  std::memcpy(store.bytes_.data(), bytes_.data() + first * row_bytes_, n * row_bytes_);
  store.size_ = n;
  return store;
}

DenseStore DenseStore::Select(std::span<const uint32_t> rows) const {
  DenseStore store(type_, dim_);
  store.Reserve(rows.size());
  for (const uint32_t row : rows) {
    std::memcpy(store.bytes_.data() + store.size_++ * row_bytes_, bytes_.data() + row * row_bytes_,
                row_bytes_);
  }
  return store;
}

void DenseStore::ReadRow(size_t t, float* out) const {
  UnpackRow(type_, bytes_.data() + t * row_bytes_, dim_, out);
}

}  // namespace spark
