// Arithmetic of blocks and tiles.
#ifndef SPARK_BASE_TILES_H_
#define SPARK_BASE_TILES_H_

#include <cstddef>

namespace spark {

constexpr size_t CeilDiv(size_t a, size_t b) { return (a + b - 1) / b; }
constexpr size_t RoundUp(size_t a, size_t b) { return CeilDiv(a, b) * b; }

}  // namespace spark

#endif  // SPARK_BASE_TILES_H_
