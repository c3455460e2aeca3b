// y = x Wᵀ for weights of every type: chooses the arithmetic and the shape, and shares the work
// among threads.
#ifndef SPARK_BACKEND_CPU_MATMUL_H_
#define SPARK_BACKEND_CPU_MATMUL_H_

#include <cstddef>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/block_dot.h"
#include "backend/cpu/int_matmul.h"
#include "base/aligned.h"
#include "base/thread_team.h"

namespace spark {

class MatMul {
 public:
  MatMul(ThreadTeam& team, bool compute_f32);

  // x: [n, cols of all products]
  void Run(const float* x, size_t n, std::span<const Product> products);
  // out: [ids.size(), table.cols]
  void Embed(const Weight& table, std::span<const int32_t> ids, float* out);

 private:
  bool InIntegers(const Weight& w) const { return IsQuantized(w.type) && !compute_f32_; }
  void RunFewBlocks(const float* x, size_t n, std::span<const Product> products);
  void RunFewInt(const float* x, size_t n, const Weight& w, float* out);
  void RunPass(const float* x, size_t first, size_t n, std::span<const Product> products);
  void RunFewFloat(const float* x, size_t n, const Weight& w, float* out);
  void RunManyFloat(const float* x, size_t n, const Weight& w, float* out);

  // Activation row m of `n` that RunFewInt() or RunFewBlocks() quantised.
  QuantizedRow QuantizedActivation(size_t m, size_t cols, size_t group);
  void QuantizeActivations(const float* x, size_t n, size_t cols, size_t group);
  IntPanels MakePanels(const float* x, size_t n, size_t cols, size_t group);
  void MakeStrips(const float* x, size_t n, size_t cols, StripKind kind);

  // Unpacks a quantised matrix tile by tile, on all threads, and calls body(rows, first, count)
  // with weight rows [first, first + count). A thread takes `rows_an_item` at a time.
  template <class Body>
  void ForUnpackedTiles(const Weight& w, size_t rows_an_item, const Body& body);
  size_t FewRowsAnItem(const Weight& w, size_t bytes) const;

  std::byte* ThreadScratch(size_t thread, size_t bytes);

  ThreadTeam& team_;
  bool compute_f32_;
  AlignedBytes activations_;           // quantised rows or packed panels of a call
  AlignedBytes strips_[2];             // the same rows for block_dot.h, a StripKind each
  std::vector<AlignedBytes> scratch_;  // one a thread: unpacked weight rows
};

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_MATMUL_H_
