// The points of a sweep: what they are called, and in which order they run.
#ifndef SPARK_EVAL_POINTS_H_
#define SPARK_EVAL_POINTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "spark/sweep.h"

namespace spark {

struct Point {
  std::string kv;  // "none", "spark:0.8"
  CacheType k = CacheType::kF16;
  CacheType v = CacheType::kF16;
  size_t context = 0;  // tokens; 0 for `speed`
  std::string task;
  int threads = 0;

  std::string Key() const;  // as in record.h
  // Points of a group see the same contexts, computed in the same way: they can share a prefill.
  bool SameGroup(const Point& other) const {
    return context == other.context && task == other.task && threads == other.threads;
  }
};

// All points of a sweep in the order in which they run: group by group; in a group `none` first,
// then the ends of every range, then their middles, and so on, so that a group that is too large
// for one prefill shows its whole picture early.
std::vector<Point> MakePoints(const SweepOptions& options);

// The part of them that a shard does: neighbours, which share groups, and as many in every shard,
// or one less.
std::vector<Point> ShardPoints(const std::vector<Point>& points, size_t shard, size_t n_shards);

// The numbers 0 … n - 1: the ends, the middle, the middles of the halves, …
std::vector<size_t> CoarseToFine(size_t n);

}  // namespace spark

#endif  // SPARK_EVAL_POINTS_H_
