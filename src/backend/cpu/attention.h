// Grouped-query attention over a layer's cache: cuts the work into items, shares them among
// threads, and folds their partial results in a fixed order.
#ifndef SPARK_BACKEND_CPU_ATTENTION_H_
#define SPARK_BACKEND_CPU_ATTENTION_H_

#include <cstddef>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/attention_kernels.h"
#include "base/aligned.h"
#include "base/thread_team.h"
#include "kv/kv_cache.h"

namespace spark {

class Attention {
 public:
  explicit Attention(ThreadTeam& team) : team_(team), scratch_(team.size()) {}

  // As Backend::Attend() and Backend::Scores().
  void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
              const ScoreScale& scale, float* out);
  void Scores(const float* q, size_t group, const KeyStore& keys, float* scores);

 private:
  // Some query rows of a KV head against some of its tokens. Rows are numbered
  // token * group + head in group.
  struct Item {
    size_t head;
    size_t first_row;
    size_t n_rows;
    size_t first_piece;  // in pieces_
    size_t n_pieces;
    size_t place;  // of the partial result: row `place` of partials_
  };
  // Consecutive tokens of a store: small, as there may be thousands, planned by one thread.
  struct Piece {
    size_t store;  // in stores_
    size_t first;
    size_t count;
  };
  // A tile of query rows, and the items whose partial results make up its output.
  struct Tile {
    size_t first_item;
    size_t n_items;
  };

  void PlanPieces(const LayerCache& layer, const HeadCache& head, size_t n, bool few,
                  size_t max_tokens);
  TokenRun RunOf(size_t piece) const;
  void Plan(size_t n, size_t group, const LayerCache& layer);
  // Whether item k of few query rows has the queries, and keys of the store, of the item before it.
  bool GoesOn(size_t k) const;
  // `prepared`: as AttendFew() has it.
  void RunItem(const Item& item, const float* q, size_t n, size_t n_heads, const LayerCache& layer,
               const ScoreScale& scale, bool prepared, size_t thread);
  // Makes the output of partial results.
  void FoldRow(const Tile& tile, size_t r, size_t dim, float* out) const;
  void Fold(size_t n, size_t n_heads, size_t group, size_t dim, float* out);

  ThreadTeam& team_;
  std::vector<TokenRun> stores_;  // whole ones
  std::vector<Piece> pieces_;
  std::vector<Item> items_;
  std::vector<Tile> tiles_;
  std::vector<float> max_, sum_, values_;  // partial results: [rows], [rows], [rows, D]
  std::vector<AlignedBytes> scratch_;      // one a thread
};

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_ATTENTION_H_
