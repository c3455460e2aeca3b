// Products of a few activation rows with quantised weights as they are stored: blocks become bytes
// in registers and meet the activations there, with no buffer between. The arithmetic is that of
// int_matmul.h. On targets whose vectors have a fixed size; others, and q8_K, go by the buffers of
// unpack.h.
#ifndef SPARK_BACKEND_CPU_BLOCK_DOT_H_
#define SPARK_BACKEND_CPU_BLOCK_DOT_H_

#include <cstddef>

#include "backend/cpu/int_matmul.h"
#include "backend/weight.h"

namespace spark {

// Whether BlockDotRows() takes weights like these on the current SIMD target.
bool HasBlockDot(DType type, size_t cols);

// An activation row in strips, in which its elements lie as those of the weights in a vector, which
// depends on whether blocks are groups of 32 or superblocks of 256.
enum class StripKind { kGroups, kSuperblocks };
StripKind StripsOf(DType type);
// The group size that `x` of MakeBlockStrips() has.
constexpr size_t StripGroup(StripKind kind) { return kind == StripKind::kGroups ? 32 : 16; }

// `out`: [BlockStripBytes(kind, cols)], 64-byte aligned.
size_t BlockStripBytes(StripKind kind, size_t cols);
void MakeBlockStrips(StripKind kind, const QuantizedRow& x, size_t cols, std::byte* out);

// out[i] = weight row first + i · x for i < n_rows; `strips` of kind StripsOf(w.type).
void BlockDotRows(const Weight& w, size_t first, size_t n_rows, const std::byte* strips,
                  float* out);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_BLOCK_DOT_H_
