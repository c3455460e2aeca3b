// Rows of floats of one KV head, one row a token: dense keys, dense values, the tail of new tokens.
#ifndef SPARK_KV_DENSE_STORE_H_
#define SPARK_KV_DENSE_STORE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned.h"
#include "base/dtype.h"

namespace spark {

// For whoever keeps a copy of a store's rows: while `id` is the same, rows have only been added,
// but for `overwrites` of them, of which the last one was that of row `overwritten`.
struct RowChanges {
  uint64_t id = 0;  // no other store has it
  uint64_t overwrites = 0;
  size_t overwritten = 0;
};

// Layout: `size` packed rows (packed_row.h) of row_bytes() each, one after the other.
class DenseStore {
 public:
  // Throws Error for a type that keys and values can't be stored in.
  DenseStore(DType type, size_t dim);

  // `n` packed rows as data() held them. Throws Error if `rows` has another length, or a type or
  // size is none: what comes from a file has been checked once it is here.
  static DenseStore FromRows(DType type, size_t dim, size_t n, std::span<const std::byte> rows);

  DType type() const { return type_; }
  size_t dim() const { return dim_; }
  size_t row_bytes() const { return row_bytes_; }
  size_t size() const { return size_; }
  size_t capacity() const { return bytes_.size() / row_bytes_; }  // rows there is room for
  const std::byte* data() const { return bytes_.data(); }

  // Appends `n` rows read from `rows + i * stride`, rounded to type(). Where room is missing it
  // grows by GrowthStep(), unless Reserve() made it before.
  void Append(const float* rows, size_t n, size_t stride);
  void Reserve(size_t n);
  void Truncate(size_t n);  // forgets the rows behind the first n

  // The same rows as `other`, behind these; nothing is rounded again. Both have one type and dim.
  void Append(const DenseStore& other);

  void Overwrite(size_t t, const float* row);  // [dim]

  DenseStore Slice(size_t first, size_t n) const;  // a copy that takes no more room than it needs

  // The rows with these numbers, in that order; nothing is rounded again.
  DenseStore Select(std::span<const uint32_t> rows) const;

  void ReadRow(size_t t, float* out) const;  // out: [dim]
  size_t AllocatedBytes() const { return bytes_.AllocatedBytes(); }
  const RowChanges& changes() const { return changes_; }

  // Rows that room for `rows` grows by: a quarter, at least 32.
  static constexpr size_t GrowthStep(size_t rows) { return std::max<size_t>(32, rows / 4); }

 private:
  DType type_;
  size_t dim_;
  size_t row_bytes_;
  size_t size_ = 0;
  AlignedBytes bytes_;
  RowChanges changes_;
};

}  // namespace spark

#endif  // SPARK_KV_DENSE_STORE_H_
