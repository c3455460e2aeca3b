// Products of quantised weights with activations quantised to 8 bits. An activation row is cut into
// blocks of 32, each with the scale max|x| / 127 and q = round(x / scale); with weights in the
// canonical form of unpack.h and `sum` = the sum of a group's q, both with their scales,
//
//   Σ_k w[k] x[k]  =  Σ_g  scale_w[g] scale_x[g] Σ_k q_w[k] q_x[k]  +  offset_w[g] scale_x[g]
//   sum[g]
//
// where Σ_k q_w q_x is exact in 32-bit integers (32 · 255 · 127 < 2^21).
//
// Two shapes. Few activation rows: dot products along k, the weight row in vectors. Many: a panel
// of as many activation rows as a vector has 32-bit lanes, one lane a row, four weight bytes
// broadcast to all lanes, so that no sum crosses lanes.
#ifndef SPARK_BACKEND_CPU_INT_MATMUL_H_
#define SPARK_BACKEND_CPU_INT_MATMUL_H_

#include <cstddef>
#include <cstdint>

#include "backend/cpu/unpack.h"

namespace spark {

// An activation row, or a panel of `lanes` rows: then every element below is `lanes` elements, one
// for each row, and q holds four consecutive k of row 0, the same four of row 1, …
struct QuantizedRow {
  float* scales;  // [cols / group]
  float* sums;    // [cols / group], times scale
  int16_t*
      pair_sums;  // [cols / group][2], of panels only: sums of q[4i], q[4i + 1] and of the rest
  int8_t* q;      // [cols]
};

// Bytes of one row, and its arrays; times `lanes` for a panel. `place` is 4-byte aligned.
size_t QuantizedBytes(size_t cols, size_t group);
QuantizedRow QuantizedAt(size_t cols, size_t group, size_t lanes, std::byte* place);

// Rows in a panel on the current SIMD target, at most 16.
size_t IntPanelLanes();

// x: [cols], a multiple of 32.
void QuantizeRow(const float* x, size_t cols, size_t group, const QuantizedRow& out);

// x: [n, cols], n <= lanes; the other rows of the panel become 0. `scratch` holds one row.
void QuantizePanel(const float* x, size_t n, size_t cols, size_t group, const QuantizedRow& scratch,
                   const QuantizedRow& panel);

// out[i] = weight row i · x for i < n_rows. `type` tells the range of the weights' bytes.
void IntDotRows(DType type, const UnpackedRows& w, size_t n_rows, const QuantizedRow& x,
                float* out);

// out[m * out_stride + i] = weight row i · row m of the panels, i < n_rows, m < n. Panels follow
// each other, `panel_bytes` apart.
struct IntPanels {
  QuantizedRow first;
  size_t panel_bytes;
  size_t n;  // activation rows
};
void IntPanelProduct(DType type, const UnpackedRows& w, size_t n_rows, const IntPanels& x,
                     float* out, size_t out_stride);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_INT_MATMUL_H_
