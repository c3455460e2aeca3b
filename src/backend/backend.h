// The operations a transformer is made of. `reference/` implements them as they are written in
// papers, `cpu/` with vectors and threads, `cuda/` on a GPU; one test suite runs every operation on
// every backend.
//
// Conventions: matrices are row-major; `n` is a number of tokens; activations are f32, in memory
// that the backend gave out (activations.h), which the host may be unable to read. Output buffers
// never overlap inputs unless an operation says that it works in place. Calls are coarse, so a
// virtual call costs nothing. A backend may keep scratch memory, and copies of weights, which must
// not change while it lives: one thread calls it at a time.
#ifndef SPARK_BACKEND_BACKEND_H_
#define SPARK_BACKEND_BACKEND_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/key_pruning.h"
#include "backend/weight.h"
#include "kv/kv_cache.h"

namespace spark {

// Rotations of `n` consecutive positions, computed once and used by every layer.
struct RopeAngles {
  bool interleaved = true;  // pairs (0,1), (2,3), … of a head; else (0, dim/2), (1, dim/2 + 1), …
  size_t dim = 0;           // elements of a head that are rotated; the others stay
  std::vector<float> cos;  // [n, dim / 2]
  std::vector<float> sin;  // [n, dim / 2]
};

// What becomes of a query's product with a key before the softmax.
struct ScoreScale {
  float scale = 1;
  float softcap = 0;  // > 0: s = scale * q·k becomes softcap * tanh(s / softcap)
};

// A product with a weight matrix, and where it goes.
struct Product {
  const Weight* w;
  float* out;  // [n, w->rows]
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;

  // Memory for activations, and copies from and to the host's; for those that hold them: see
  // activations.h. Here: of a backend that computes in the host's memory.
  virtual bool on_host() const { return true; }
  virtual float* AllocateFloats(size_t count) { return new float[count]; }
  virtual void FreeFloats(float* memory) { delete[] memory; }
  virtual void CopyFromHost(const float* from, size_t count, float* to) {
    std::copy_n(from, count, to);
  }
  // Waits for the operations before it.
  virtual void CopyToHost(const float* from, size_t count, float* to) {
    std::copy_n(from, count, to);
  }

  // Calls `body`, in which operations follow each other closely: threads stay awake between them.
  // For a token's pass through the layers; worthless for long operations.
  virtual void Together(const std::function<void()>& body) { body(); }

  // out[i] = row ids[i] of `table`. out: [ids.size(), table.cols]
  virtual void Embed(const Weight& table, std::span<const int32_t> ids, float* out) = 0;

  // out = x / sqrt(mean(x²) + eps) * weight, row by row. x, out: [n, weight.size()]; out may be x.
  virtual void RmsNorm(const float* x, size_t n, std::span<const float> weight, float eps,
                       float* out) = 0;

  // out = x Wᵀ. x: [n, w.cols], out: [n, w.rows]
  virtual void MatMul(const float* x, size_t n, const Weight& w, float* out) = 0;

  // The same for several matrices of as many columns.
  virtual void MatMul(const float* x, size_t n, std::span<const Product> products) {
    for (const Product& product : products) MatMul(x, n, *product.w, product.out);
  }

  // Rotates every head of x: [n, n_heads, head_dim] in place; row i by angles row i.
  virtual void Rope(float* x, size_t n, size_t n_heads, size_t head_dim,
                    const RopeAngles& angles) = 0;

  // gate = silu(gate) * up, in place, silu(z) = z / (1 + exp(-z)).
  virtual void SwiGlu(float* gate, const float* up, size_t count) = 0;

  // gate = gelu(gate) * up, in place, gelu(z) = z/2 (1 + tanh(sqrt(2/π) (z + 0.044715 z³))): the
  // approximation by Hendrycks and Gimpel (arXiv 1606.08415) that Gemma was trained with.
  virtual void GeGlu(float* gate, const float* up, size_t count) = 0;

  // x += y, in place.
  virtual void Add(float* x, const float* y, size_t count) = 0;

  // Every row of x += bias, in place. x: [n, bias.size()]
  virtual void AddBias(float* x, size_t n, std::span<const float> bias) = 0;

  // x *= factor, in place.
  virtual void Scale(float* x, float factor, size_t count) = 0;

  // x = cap * tanh(x / cap), in place; cap > 0.
  virtual void SoftCap(float* x, float cap, size_t count) = 0;

  // Unscaled scores of a group's queries with every token of a store, from its packed form.
  // q: [group, head_dim], scores: [group, Size(keys)]
  virtual void Scores(const float* q, size_t group, const KeyStore& keys, float* scores) = 0;

  // Grouped-query attention: query head h reads KV head h / (n_heads / n_kv_heads).
  // The n query tokens are the last n of the layer's tail; token i sees the whole context and the
  // tail up to itself; in a layer with a window, only the tokens inside it.
  // q, out: [n, n_heads, head_dim]
  virtual void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
                      const ScoreScale& scale, float* out) = 0;

  // For a backend with memory of its own, which may hold a layer's keys, or copies of them.
  //
  // Packs keys of the layer's tails, one store a KV head. Empty: this backend leaves it to its
  // caller, as one that computes in the host's memory always does.
  virtual std::vector<SparseStore> PackKeys(const LayerCache&, const KeyPruning&) { return {}; }

  // The layer's tails have been emptied or rebuilt: the memory that copies of them took may go.
  virtual void ReleaseTails(const LayerCache&) {}
};

struct CpuOptions {
  int threads = 1;
  bool compute_f32 = false;  // dequantise weights and multiply in f32, instead of integer products
};

struct CudaOptions {
  int device = 0;            // as GpuNames() numbers them
  bool compute_f32 = false;  // multiply long prompts in f32 as well, instead of f16
};

std::unique_ptr<Backend> MakeReferenceBackend();
std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options);
// Throws Error where there is no such device, or in a build without CUDA.
std::unique_ptr<Backend> MakeCudaBackend(const CudaOptions& options);

}  // namespace spark

#endif  // SPARK_BACKEND_BACKEND_H_
