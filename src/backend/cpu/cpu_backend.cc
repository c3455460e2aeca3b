#include "backend/cpu/cpu_backend.h"

#include <algorithm>

#include "backend/cpu/elementwise.h"
#include "base/tiles.h"

namespace spark {
namespace {

// Waking threads costs some microseconds, in which one thread handles about this many elements.
constexpr size_t kWorthThreads = 16384;
constexpr size_t kChunk = 4096;  // elements of a long row that a thread takes at a time

}  // namespace

CpuBackend::CpuBackend(const CpuOptions& options)
    : team_(options.threads), matmul_(team_, options.compute_f32), attention_(team_) {}

template <class Body>
void CpuBackend::ForItems(size_t count, size_t elements, const Body& body) {
  if (elements < kWorthThreads) {
    for (size_t i = 0; i < count; ++i) body(i);
  } else {
    team_.For(count, [&](size_t i, size_t) { body(i); });
  }
}

template <class Body>
void CpuBackend::ForPieces(size_t count, const Body& body) {
  ForItems(CeilDiv(count, kChunk), count, [&](size_t i) {
    const size_t first = i * kChunk;
    body(first, std::min(kChunk, count - first));
  });
}

void CpuBackend::Embed(const Weight& table, std::span<const int32_t> ids, float* out) {
  matmul_.Embed(table, ids, out);
}

void CpuBackend::RmsNorm(const float* x, size_t n, std::span<const float> weight, float eps,
                         float* out) {
  const size_t dim = weight.size();
  ForItems(n, n * dim,
           [&](size_t i) { NormRow(x + i * dim, weight.data(), dim, eps, out + i * dim); });
}

void CpuBackend::MatMul(const float* x, size_t n, const Weight& w, float* out) {
  matmul_.Run(x, n, {{{&w, out}}});
}

void CpuBackend::MatMul(const float* x, size_t n, std::span<const Product> products) {
  matmul_.Run(x, n, products);
}

void CpuBackend::Rope(float* x, size_t n, size_t n_heads, size_t head_dim,
                      const RopeAngles& angles) {
  const size_t pairs = angles.dim / 2;
  ForItems(n, n * n_heads * head_dim, [&](size_t i) {
    const float* cos = angles.cos.data() + i * pairs;
    const float* sin = angles.sin.data() + i * pairs;
    for (size_t h = 0; h < n_heads; ++h) {
      float* head = x + (i * n_heads + h) * head_dim;
      if (angles.interleaved) {
        RotatePairs(head, cos, sin, pairs);
      } else {
        RotateHalves(head, head + pairs, cos, sin, pairs);
      }
    }
  });
}

void CpuBackend::SwiGlu(float* gate, const float* up, size_t count) {
  ForPieces(count, [&](size_t first, size_t n) { SwiGluRow(gate + first, up + first, n); });
}

void CpuBackend::GeGlu(float* gate, const float* up, size_t count) {
  ForPieces(count, [&](size_t first, size_t n) { GeGluRow(gate + first, up + first, n); });
}

void CpuBackend::Add(float* x, const float* y, size_t count) {
  ForPieces(count, [&](size_t first, size_t n) { AddRow(x + first, y + first, n); });
}

void CpuBackend::AddBias(float* x, size_t n, std::span<const float> bias) {
  const size_t dim = bias.size();
  ForItems(n, n * dim, [&](size_t i) { AddRow(x + i * dim, bias.data(), dim); });
}

void CpuBackend::Scale(float* x, float factor, size_t count) {
  ForPieces(count, [&](size_t first, size_t n) { ScaleRow(x + first, factor, n); });
}

void CpuBackend::SoftCap(float* x, float cap, size_t count) {
  ForPieces(count, [&](size_t first, size_t n) { SoftCapRow(x + first, cap, n); });
}

void CpuBackend::Scores(const float* q, size_t group, const KeyStore& keys, float* scores) {
  attention_.Scores(q, group, keys, scores);
}

void CpuBackend::Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
                        const ScoreScale& scale, float* out) {
  attention_.Attend(q, n, n_heads, layer, scale, out);
}

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace spark
