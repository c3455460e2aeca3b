// Stored rows to floats, one element at a time: the definition of each block format, and what the
// kernels are tested against.
#ifndef SPARK_BACKEND_DEQUANTIZE_H_
#define SPARK_BACKEND_DEQUANTIZE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "backend/weight.h"
#include "base/dtype.h"

namespace spark {

// What the 4-bit quanta of iq4_nl and iq4_xs stand for, before scaling (ggml's kvalues_iq4nl).
inline constexpr std::array<int8_t, 16> kIQ4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

// `n` elements of `type`, a multiple of its block; `row` has RowBytes(type, n) bytes, unaligned.
void DequantizeRow(DType type, const std::byte* row, size_t n, float* out);

// Where the first NaN or infinity is, in elements from the start of the matrix; of a block whose
// scale or minimum is not finite, its first element. Nothing if all is well.
std::optional<size_t> FindNonFinite(const Weight& weight);

}  // namespace spark

#endif  // SPARK_BACKEND_DEQUANTIZE_H_
