// A walk over the channels of a mask, which is laid out as channel_mask.h says.
#ifndef SPARK_KV_MASK_BITS_H_
#define SPARK_KV_MASK_BITS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace spark {

// Calls use(j) with every channel j whose bit is set, ascending.
template <class Use>
void ForMaskBits(const uint8_t* row, size_t mask_bytes, const Use& use) {
  for (size_t b = 0; b < mask_bytes; ++b) {
    for (unsigned left = row[b]; left != 0; left &= left - 1) {
      use(8 * b + static_cast<size_t>(std::countr_zero(left)));
    }
  }
}

}  // namespace spark

#endif  // SPARK_KV_MASK_BITS_H_
