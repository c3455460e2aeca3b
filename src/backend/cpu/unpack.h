// Quantised weight rows in one canonical form, whatever their type: unsigned bytes, and for every
// group of 16 or 32 elements a scale and an offset, so that
//
//   w[k] = scale[g] * q[k] + offset[g],   g = k / group
//
// type        group  q        scale    offset
// q8_0, q8_K  32     0..255   d        -128 d          (the stored byte is q - 128)
// q4_0, q5_0  32     0..15/31 d        -8 d, -16 d
// q4_1, q5_1  32     0..15/31 d        m
// q4_K, q5_K  32     0..15/31 d sc     -dmin m         (6-bit sc and m of each group)
// q6_K        16     0..63    d sc     -32 d sc        (signed 8-bit sc)
// q2_K        16     0..3     d sc     -dmin m         (4-bit sc and m)
// q3_K        16     0..7     d sc     -4 d sc         (signed 6-bit sc)
// iq4_nl      32     1..241   d        -128 d          (a table of 16 values, q - 128)
// iq4_xs      32     1..241   d sc     -128 d sc       (the same, signed 6-bit sc)
//
// Matrix products need only this form. It is unpacked a few rows at a time into a buffer that stays
// in the L1 or L2 cache: the weights themselves remain in the file's blocks.
#ifndef SPARK_BACKEND_CPU_UNPACK_H_
#define SPARK_BACKEND_CPU_UNPACK_H_

#include <cstddef>
#include <cstdint>

#include "backend/weight.h"

namespace spark {

constexpr size_t GroupSize(DType type) {
  return type == DType::kQ2_K || type == DType::kQ3_K || type == DType::kQ6_K ? 16 : 32;
}

// Whether q goes up to 255, with the offset -128 scale; it is at most 63 otherwise.
constexpr bool HasWideBytes(DType type) {
  return type == DType::kQ8_0 || type == DType::kQ8_K || type == DType::kIQ4_NL ||
         type == DType::kIQ4_XS;
}

// c of types whose offsets are all -c scale, 0 of those that have offsets of their own.
constexpr int Centre(DType type) {
  if (HasWideBytes(type)) return 128;
  if (type == DType::kQ6_K) return 32;
  if (type == DType::kQ5_0) return 16;
  if (type == DType::kQ4_0) return 8;
  return type == DType::kQ3_K ? 4 : 0;
}

struct UnpackedRows {
  uint8_t* q;      // [rows, cols]
  float* scales;   // [rows, cols / group]
  float* offsets;  // [rows, cols / group]
  size_t cols;
  size_t group;

  size_t groups() const { return cols / group; }
};

// Bytes that `n_rows` unpacked rows of `w` take, and the arrays in them; `place` is 4-byte aligned.
size_t UnpackedBytes(const Weight& w, size_t n_rows);
UnpackedRows UnpackedAt(const Weight& w, size_t n_rows, std::byte* place);

// Rows [first, first + n_rows) of w, which is of a quantised type.
void UnpackRows(const Weight& w, size_t first, size_t n_rows, const UnpackedRows& out);

// Row `row` of w in f32, any type. out: [cols]
void DequantizeWeightRow(const Weight& w, size_t row, const UnpackedRows& scratch, float* out);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_UNPACK_H_
