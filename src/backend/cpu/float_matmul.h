// Products of weights with activations in f32: weights stored as floats, and every type when the
// backend computes in f32.
#ifndef SPARK_BACKEND_CPU_FLOAT_MATMUL_H_
#define SPARK_BACKEND_CPU_FLOAT_MATMUL_H_

#include <cstddef>

#include "base/dtype.h"

namespace spark {

// out[m * out_stride + i] = row i · x[m], for few rows of x. rows: [n_rows, cols] of a float type,
// read once in order; x: [n, cols].
void FloatDotRows(DType type, const std::byte* rows, size_t n_rows, size_t cols, const float* x,
                  size_t n, float* out, size_t out_stride);

// Activation rows in a panel on the current SIMD target, at most 16.
size_t FloatPanelLanes();

// panel[k * lanes + m] = x[m, k], 0 for m >= n. x: [n, cols], n <= lanes.
void PackFloatPanel(const float* x, size_t n, size_t cols, float* panel);

// out[m * out_stride + i] = row i · row m of the panels, i < n_rows, m < n. rows: [n_rows, cols],
// readable (whatever is there) up to a multiple of four rows; panels follow each other.
void FloatPanelProduct(const float* rows, size_t n_rows, size_t cols, const float* panels, size_t n,
                       float* out, size_t out_stride);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_FLOAT_MATMUL_H_
