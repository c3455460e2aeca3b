// Rows of plain floats between their stored type and f32, vectorised.
#ifndef SPARK_BASE_CONVERT_H_
#define SPARK_BASE_CONVERT_H_

#include <cstddef>

#include "base/dtype.h"

namespace spark {

// type: f32, f16 or bf16. Same rounding as base/half.h, element by element; no alignment needed.
void FromFloats(DType type, const float* in, size_t n, std::byte* out);
void ToFloats(DType type, const std::byte* in, size_t n, float* out);

}  // namespace spark

#endif  // SPARK_BASE_CONVERT_H_
