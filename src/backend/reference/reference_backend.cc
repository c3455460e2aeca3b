// Every operation in plain scalar C++, f32, no tricks: the code to study, and the twin that every
// kernel is tested against.
#include <cmath>
#include <numbers>

#include "backend/backend.h"
#include "backend/dequantize.h"
#include "backend/reference/attention.h"

namespace spark {
namespace {

class ReferenceBackend : public Backend {
 public:
  std::string_view name() const override { return "reference"; }

  void Embed(const Weight& table, std::span<const int32_t> ids, float* out) override {
    const size_t row_bytes = *RowBytes(table.type, table.cols);
    for (size_t i = 0; i < ids.size(); ++i) {
      DequantizeRow(table.type, table.data + static_cast<size_t>(ids[i]) * row_bytes, table.cols,
                    out + i * table.cols);
    }
  }

  void RmsNorm(const float* x, size_t n, std::span<const float> weight, float eps,
               float* out) override {
    const size_t dim = weight.size();
    for (size_t i = 0; i < n; ++i, x += dim, out += dim) {
      float sum_of_squares = 0;
      for (size_t j = 0; j < dim; ++j) sum_of_squares += x[j] * x[j];
      const float inverse = 1.0f / std::sqrt(sum_of_squares / static_cast<float>(dim) + eps);
      for (size_t j = 0; j < dim; ++j) out[j] = x[j] * inverse * weight[j];
    }
  }

  void MatMul(const float* x, size_t n, const Weight& w, float* out) override {
    std::vector<float> row(w.cols);
    const size_t row_bytes = *RowBytes(w.type, w.cols);
    for (size_t r = 0; r < w.rows; ++r) {
      DequantizeRow(w.type, w.data + r * row_bytes, w.cols, row.data());
      for (size_t i = 0; i < n; ++i) {
        float sum = 0;
        for (size_t c = 0; c < w.cols; ++c) sum += x[i * w.cols + c] * row[c];
        out[i * w.rows + r] = sum;
      }
    }
  }

  void Rope(float* x, size_t n, size_t n_heads, size_t head_dim,
            const RopeAngles& angles) override {
    const size_t half = angles.dim / 2;
    for (size_t i = 0; i < n * n_heads; ++i) {
      float* head = x + i * head_dim;
      const float* cos = angles.cos.data() + i / n_heads * half;
      const float* sin = angles.sin.data() + i / n_heads * half;
      for (size_t p = 0; p < half; ++p) {
        float& a = angles.interleaved ? head[2 * p] : head[p];
        float& b = angles.interleaved ? head[2 * p + 1] : head[p + half];
        const float rotated_a = a * cos[p] - b * sin[p];
        b = a * sin[p] + b * cos[p];
        a = rotated_a;
      }
    }
  }

  void SwiGlu(float* gate, const float* up, size_t count) override {
    for (size_t i = 0; i < count; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
  }

  void GeGlu(float* gate, const float* up, size_t count) override {
    const float root = std::sqrt(2.0f / std::numbers::pi_v<float>);
    for (size_t i = 0; i < count; ++i) {
      const float z = gate[i];
      gate[i] = 0.5f * z * (1.0f + std::tanh(root * (z + 0.044715f * z * z * z))) * up[i];
    }
  }

  void Add(float* x, const float* y, size_t count) override {
    for (size_t i = 0; i < count; ++i) x[i] += y[i];
  }

  void AddBias(float* x, size_t n, std::span<const float> bias) override {
    for (size_t i = 0; i < n * bias.size(); ++i) x[i] += bias[i % bias.size()];
  }

  void Scale(float* x, float factor, size_t count) override {
    for (size_t i = 0; i < count; ++i) x[i] *= factor;
  }

  void SoftCap(float* x, float cap, size_t count) override {
    for (size_t i = 0; i < count; ++i) x[i] = cap * std::tanh(x[i] / cap);
  }

  void Scores(const float* q, size_t group, const KeyStore& keys, float* scores) override {
    std::visit(
        [&](const auto& store) {
          for (size_t g = 0; g < group; ++g) {
            const size_t head_dim = HeadDim(store);
            reference::Scores(q + g * head_dim, store, store.size(), scores + g * store.size());
          }
        },
        keys);
  }

  void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
              const ScoreScale& scale, float* out) override {
    const size_t head_dim = layer.head_dim();
    const size_t group = n_heads / layer.heads().size();
    for (size_t i = 0; i < n; ++i) {
      for (size_t h = 0; h < n_heads; ++h) {
        const HeadCache& head = layer.heads()[h / group];
        const size_t position = layer.next_position() - n + i;
        const size_t offset = (i * n_heads + h) * head_dim;
        reference::AttendOne(q + offset, layer, head, position, scale, out + offset);
      }
    }
  }

 private:
  static size_t HeadDim(const DenseStore& store) { return store.dim(); }
  static size_t HeadDim(const SparseStore& store) { return store.head_dim(); }
  static size_t HeadDim(const LaneStore& store) { return store.head_dim(); }
  static size_t HeadDim(const DroppedKeyStore& store) { return store.head_dim(); }
};

}  // namespace

std::unique_ptr<Backend> MakeReferenceBackend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace spark
