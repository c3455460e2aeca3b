// Products with weight matrices, and rows of them.
#ifndef SPARK_BACKEND_CUDA_MATMUL_H_
#define SPARK_BACKEND_CUDA_MATMUL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backend/cuda/device_weights.h"
#include "backend/cuda/memory.h"
#include "backend/weight.h"

namespace spark::cuda {

class MatMul {
 public:
  // `compute_f32`: never round activations to f16.
  MatMul(int device, Stream stream, Staging& staging, bool compute_f32);
  MatMul(const MatMul&) = delete;
  MatMul& operator=(const MatMul&) = delete;
  ~MatMul();

  // As Backend's operations of these names, in GPU memory.
  void Multiply(const float* x, size_t n, const Weight& w, float* out);
  void Embed(const Weight& table, std::span<const int32_t> ids, float* out);

  // A vector of floats that belongs to the model: a norm's weight, a bias.
  const float* Vector(std::span<const float> values);

 private:
  void MultiplyFew(const float* x, size_t n, const Weight& w, float* out);
  void MultiplyMany(const float* x, size_t n, const Weight& w, float* out);
  const uint8_t* Upload(const Weight& w);

  Stream stream_;
  Staging& staging_;
  bool compute_f32_;
  std::shared_ptr<DeviceWeights> weights_;
  Gemm gemm_;
  DeviceMemory half_x_, half_w_, scales_, ids_;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_MATMUL_H_
