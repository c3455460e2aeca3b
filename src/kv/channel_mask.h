// One bit a channel: which are kept, or which are positive. Rows of bytes, channel j at bit j % 8
// of byte j / 8.
#ifndef SPARK_KV_CHANNEL_MASK_H_
#define SPARK_KV_CHANNEL_MASK_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace spark {

constexpr size_t MaskBytes(size_t head_dim) { return (head_dim + 7) / 8; }

// Channel j in one token's row of a mask or sign plane.
constexpr bool MaskBit(const uint8_t* row, size_t j) { return (row[j / 8] >> (j % 8)) & 1; }
inline void SetMaskBit(uint8_t* row, size_t j) {
  row[j / 8] = static_cast<uint8_t>(row[j / 8] | (1u << (j % 8)));
}
inline size_t CountMaskBits(const uint8_t* row, size_t mask_bytes) {
  size_t n = 0;
  for (size_t i = 0; i < mask_bytes; ++i) n += static_cast<size_t>(std::popcount(row[i]));
  return n;
}

}  // namespace spark

#endif  // SPARK_KV_CHANNEL_MASK_H_
