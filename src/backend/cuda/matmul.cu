#include <algorithm>
#include <type_traits>

#include "backend/cuda/matmul.cu.h"
#include "backend/cuda/matmul.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

// Up to this many activation rows, weights are read as they are stored, once for every kFew rows.
// More of them are worth a copy of the weights in f16.
constexpr size_t kFew = 4;
constexpr size_t kMostFew = 8;

// Weights that are in f16 at a time, elements: 64 MiB.
constexpr size_t kHalfElements = size_t{32} << 20;

constexpr unsigned kThreadsOfRow = 128;

unsigned Blocks256(size_t threads) { return static_cast<unsigned>((threads + 255) / 256); }
int AsInt(size_t n) { return static_cast<int>(n); }

template <DType type>
using Type = std::integral_constant<DType, type>;

// Calls body(Type<type>()).
template <class Body>
void WithType(DType type, const Body& body) {
  switch (type) {
    case DType::kF32:
      return body(Type<DType::kF32>());
    case DType::kF16:
      return body(Type<DType::kF16>());
    case DType::kBF16:
      return body(Type<DType::kBF16>());
    case DType::kQ8_0:
      return body(Type<DType::kQ8_0>());
    case DType::kQ4_0:
      return body(Type<DType::kQ4_0>());
    case DType::kQ4_1:
      return body(Type<DType::kQ4_1>());
    case DType::kQ5_0:
      return body(Type<DType::kQ5_0>());
    case DType::kQ5_1:
      return body(Type<DType::kQ5_1>());
    case DType::kQ4_K:
      return body(Type<DType::kQ4_K>());
    case DType::kQ5_K:
      return body(Type<DType::kQ5_K>());
    case DType::kQ6_K:
      return body(Type<DType::kQ6_K>());
    case DType::kQ2_K:
      return body(Type<DType::kQ2_K>());
    case DType::kQ3_K:
      return body(Type<DType::kQ3_K>());
    case DType::kQ8_K:
      return body(Type<DType::kQ8_K>());
    case DType::kIQ4_NL:
      return body(Type<DType::kIQ4_NL>());
    case DType::kIQ4_XS:
      return body(Type<DType::kIQ4_XS>());
  }
}

}  // namespace

MatMul::MatMul(int device, Stream stream, Staging& staging, bool compute_f32)
    : stream_(stream),
      staging_(staging),
      compute_f32_(compute_f32),
      weights_(DeviceWeights::Of(device)),
      gemm_(CreateGemm(stream)) {}

MatMul::~MatMul() { DestroyGemm(gemm_); }

const uint8_t* MatMul::Upload(const Weight& w) {
  return weights_->Get(w.data, w.rows * *RowBytes(w.type, w.cols), staging_);
}

const float* MatMul::Vector(std::span<const float> values) {
  return reinterpret_cast<const float*>(
      weights_->Get(values.data(), values.size_bytes(), staging_));
}

namespace {

DeviceMatrix Matrix(const uint8_t* data, const Weight& w) {
  return {data, *RowBytes(w.type, w.cols), AsInt(w.rows), AsInt(w.cols)};
}

}  // namespace

void MatMul::Multiply(const float* x, size_t n, const Weight& w, float* out) {
  if (n > kMostFew && !compute_f32_) return MultiplyMany(x, n, w, out);
  MultiplyFew(x, n, w, out);
}

void MatMul::MultiplyFew(const float* x, size_t n, const Weight& w, float* out) {
  const DeviceMatrix matrix = Matrix(Upload(w), w);
  const dim3 grid(static_cast<unsigned>((w.rows + kGemvRows - 1) / kGemvRows));
  const dim3 block(kGemvWarps * kWarp);
  WithType(w.type, [&](auto type) {
    for (size_t first = 0; first < n; first += kFew) {
      const size_t rows = std::min(kFew, n - first);
      const float* from = x + first * w.cols;
      float* to = out + first * w.rows;
      if (rows == 1) {
        Launch(Gemv<decltype(type)::value, 1>, grid, block, 0, stream_, matrix, from, 1, to);
      } else {
        Launch(Gemv<decltype(type)::value, kFew>, grid, block, 0, stream_, matrix, from,
               AsInt(rows), to);
      }
    }
  });
}

void MatMul::MultiplyMany(const float* x, size_t n, const Weight& w, float* out) {
  half_x_.Resize(n * w.cols * sizeof(uint16_t), "activations in f16");
  scales_.Resize(n * sizeof(float), "scales of activations");
  const size_t tile = std::min(w.rows, std::max<size_t>(1, kHalfElements / w.cols));
  half_w_.Resize(tile * w.cols * sizeof(uint16_t), "weights in f16");
  const DeviceMatrix matrix = Matrix(Upload(w), w);

  const auto tokens = static_cast<unsigned>(n);
  Launch(RowsToHalf, dim3(tokens), dim3(kThreadsOfRow), 0, stream_, x, AsInt(w.cols),
         half_x_.As<uint16_t>(), scales_.As<float>());
  const size_t pieces = (w.cols + kPiece - 1) / kPiece;
  for (size_t first = 0; first < w.rows; first += tile) {
    const size_t rows = std::min(tile, w.rows - first);
    WithType(w.type, [&](auto type) {
      Launch(DequantizeToHalf<decltype(type)::value>, dim3(Blocks256(rows * pieces)), dim3(256), 0,
             stream_, matrix, AsInt(first), AsInt(rows), half_w_.As<uint16_t>());
    });
    GemmF16(gemm_, half_x_.As<const uint16_t>(), n, half_w_.As<const uint16_t>(), rows, w.cols,
            out + first, w.rows);
  }
  Launch(RescaleRows, dim3(tokens), dim3(kThreadsOfRow), 0, stream_, out, AsInt(w.rows),
         scales_.As<const float>());
}

void MatMul::Embed(const Weight& table, std::span<const int32_t> ids, float* out) {
  if (ids.empty()) return;
  ids_.Resize(ids.size_bytes(), "token ids");
  staging_.Upload(ids.data(), ids.size_bytes(), ids_.As<void>());
  const DeviceMatrix matrix = Matrix(Upload(table), table);
  WithType(table.type, [&](auto type) {
    Launch(EmbedRows<decltype(type)::value>, dim3(static_cast<unsigned>(ids.size())),
           dim3(kThreadsOfRow), 0, stream_, matrix, ids_.As<const int32_t>(), out);
  });
}

}  // namespace spark::cuda
