// Products of a few activation rows with quantised weights as they are stored: blocks become bytes
// in registers and meet the activations there, with no buffer between. The arithmetic is that of
// int_matmul.h. For the types whose blocks are groups of 32, on targets whose vectors have a fixed
// size; others go by the buffers of unpack.h.
#ifndef SPARK_BACKEND_CPU_BLOCK_DOT_H_
#define SPARK_BACKEND_CPU_BLOCK_DOT_H_

#include <cstddef>

#include "backend/cpu/int_matmul.h"
#include "backend/weight.h"

namespace spark {

// Whether BlockDotRows() takes weights like these on the current SIMD target.
bool HasBlockDot(DType type, size_t cols);

// An activation row in strips, in which its elements lie as those of the weights in a vector.
// `out`: [BlockStripBytes(cols)], 64-byte aligned.
size_t BlockStripBytes(size_t cols);
void MakeBlockStrips(const QuantizedRow& x, size_t cols, std::byte* out);

// out[i] = weight row first + i · x for i < n_rows.
void BlockDotRows(const Weight& w, size_t first, size_t n_rows, const std::byte* strips,
                  float* out);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_BLOCK_DOT_H_
