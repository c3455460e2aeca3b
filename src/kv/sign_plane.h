// The plane of signs of a row: one bit a channel, laid out as channel_mask.h says.
#ifndef SPARK_KV_SIGN_PLANE_H_
#define SPARK_KV_SIGN_PLANE_H_

#include <cstddef>
#include <cstdint>

namespace spark {

// Bit j of `bits`, [MaskBytes(n)], tells whether in[j] > 0; those behind the last are 0.
void PackSigns(const float* in, size_t n, uint8_t* bits);

}  // namespace spark

#endif  // SPARK_KV_SIGN_PLANE_H_
