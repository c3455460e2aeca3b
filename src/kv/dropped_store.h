// Keys of one KV head with the same channels dropped for every token (ThinK, arXiv 2407.21018).
#ifndef SPARK_KV_DROPPED_STORE_H_
#define SPARK_KV_DROPPED_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/dense_store.h"

namespace spark {

// Layout: rows [n, T] of the T kept channels, and their numbers, ascending. A score gathers q once,
// then is a dense dot product of length T.
class DroppedKeyStore {
 public:
  DroppedKeyStore(std::vector<uint16_t> kept_channels, DType type, size_t head_dim)
      : channels_(std::move(kept_channels)), rows_(type, channels_.size()), head_dim_(head_dim) {}

  // What channels() and rows().data() held. Throws Error for channels that are not ascending and
  // below head_dim, and for rows of another length.
  static DroppedKeyStore FromParts(std::vector<uint16_t> channels, DType type, size_t head_dim,
                                   size_t n, std::span<const std::byte> rows);

  const std::vector<uint16_t>& channels() const { return channels_; }
  const DenseStore& rows() const { return rows_; }
  size_t head_dim() const { return head_dim_; }
  size_t size() const { return rows_.size(); }

  // Takes the kept channels of `n` full keys, token t at keys + t * stride.
  void Append(const float* keys, size_t n, size_t stride);
  void AppendRows(const DenseStore& rows) { rows_.Append(rows); }  // of the same channels
  void Reserve(size_t n) { rows_.Reserve(n); }
  DroppedKeyStore Select(std::span<const uint32_t> tokens) const;

  void ReadRow(size_t t, float* out) const;  // out: [head_dim], dropped channels 0

  size_t ValueBytes() const { return rows_.AllocatedBytes(); }
  size_t ChannelBytes() const { return channels_.capacity() * sizeof(uint16_t); }

 private:
  std::vector<uint16_t> channels_;
  DenseStore rows_;
  size_t head_dim_;
};

}  // namespace spark

#endif  // SPARK_KV_DROPPED_STORE_H_
