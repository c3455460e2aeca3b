// The backend that every machine has: Highway kernels, a team of threads.
#ifndef SPARK_BACKEND_CPU_CPU_BACKEND_H_
#define SPARK_BACKEND_CPU_CPU_BACKEND_H_

#include "backend/backend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/matmul.h"
#include "base/thread_team.h"

namespace spark {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

  std::string_view name() const override { return "cpu"; }
  void Together(const std::function<void()>& body) override { team_.Together(body); }
  void Embed(const Weight& table, std::span<const int32_t> ids, float* out) override;
  void RmsNorm(const float* x, size_t n, std::span<const float> weight, float eps,
               float* out) override;
  void MatMul(const float* x, size_t n, const Weight& w, float* out) override;
  void MatMul(const float* x, size_t n, std::span<const Product> products) override;
  void Rope(float* x, size_t n, size_t n_heads, size_t head_dim, const RopeAngles& angles) override;
  void SwiGlu(float* gate, const float* up, size_t count) override;
  void GeGlu(float* gate, const float* up, size_t count) override;
  void Add(float* x, const float* y, size_t count) override;
  void AddBias(float* x, size_t n, std::span<const float> bias) override;
  void Scale(float* x, float factor, size_t count) override;
  void SoftCap(float* x, float cap, size_t count) override;
  void Scores(const float* q, size_t group, const KeyStore& keys, float* scores) override;
  void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
              const ScoreScale& scale, float* out) override;

 private:
  // Calls body(item) for every item, on several threads if they touch enough floats.
  template <class Body>
  void ForItems(size_t count, size_t elements, const Body& body);
  // Calls body(first, n) for pieces of one long row.
  template <class Body>
  void ForPieces(size_t count, const Body& body);

  ThreadTeam team_;
  spark::MatMul matmul_;
  Attention attention_;
};

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_CPU_BACKEND_H_
