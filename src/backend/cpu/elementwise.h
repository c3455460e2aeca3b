// Norm, rotation, gated activations, sum, scale and soft cap: operations that touch every element
// once.
#ifndef SPARK_BACKEND_CPU_ELEMENTWISE_H_
#define SPARK_BACKEND_CPU_ELEMENTWISE_H_

#include <cstddef>

namespace spark {

// out = x / sqrt(mean(x²) + eps) * weight, one row of n elements; out may be x.
void NormRow(const float* x, const float* weight, size_t n, float eps, float* out);

// Rotates pairs (x[i], y[i]) by angle i, in place.
void RotateHalves(float* x, float* y, const float* cos, const float* sin, size_t n_pairs);
// Rotates pairs (x[2i], x[2i + 1]) by angle i, in place.
void RotatePairs(float* x, const float* cos, const float* sin, size_t n_pairs);

// gate = gate / (1 + exp(-gate)) * up
void SwiGluRow(float* gate, const float* up, size_t n);

// gate = gelu(gate) * up, with the approximation of Backend::GeGlu().
void GeGluRow(float* gate, const float* up, size_t n);

// x *= factor
void ScaleRow(float* x, float factor, size_t n);

// x = cap * tanh(x / cap)
void SoftCapRow(float* x, float cap, size_t n);

// x += y
void AddRow(float* x, const float* y, size_t n);

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_ELEMENTWISE_H_
