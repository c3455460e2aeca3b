// Measures what compression plans cost and save: many points, one results folder.
#ifndef SPARK_SWEEP_H_
#define SPARK_SWEEP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spark/compression.h"
#include "spark/model.h"

namespace spark {

// A sweep is every plan × cache types × context × task × threads.
struct SweepOptions {
  // Ranges written out, see ExpandPlans(). "none" is added: it is what others are compared with.
  std::vector<std::string> plans;
  std::vector<CacheType> cache_types_k = {CacheType::kF16};
  std::vector<CacheType> cache_types_v = {CacheType::kF16};
  std::vector<size_t> contexts = {1024};  // tokens; `speed` has depths instead
  std::vector<std::string> tasks;         // "nll", "speed", and names that MakeTask() knows
  std::vector<int> threads = {0};         // 0: one a core

  // Settings that all points share: a folder holds points of one set of them.
  // Path; `nll` needs it, except for the embedded model, which gets stories; `speed` uses it.
  std::string text;
  size_t continuation = 256;  // tokens behind a context that `nll` feeds; all but one are scored
  size_t samples = 10;        // of a task, or segments of the text, at most
  uint64_t seed = 0;
  std::vector<size_t> depths = {4096};  // tokens in the cache, for `speed`
  // Of a depth beyond it only this many tokens are read, the rest are copies of them in the cache:
  // decoding takes as long, and great depths are reached in seconds. 0: all are read.
  size_t depth_read = 0;
  bool query_aware = false;  // questions are seen before compression
  std::string backend = "cpu";
  int device = 0;  // of the backend "cuda"
  bool compute_f32 = false;
  size_t batch_size = 512;

  // As many points share a prefill as would fit here if their caches were dense, at least one.
  size_t shared_cache_bytes = size_t{1} << 30;

  std::string model_path;  // for the records; empty: the embedded model
  std::string out;         // the folder
  size_t shard = 1;        // this run does part `shard` of `n_shards`
  size_t n_shards = 1;
};

struct SweepProgress {
  size_t points = 0;        // of this run
  size_t points_done = 0;   // ended, well or not
  double share = 0;         // of all work, estimated, 0 to 1
  double seconds_left = 0;  // likewise; 0 while nothing is known
  std::string_view doing;   // "needle, context 1024"
};
// Called often. Returning false ends the sweep; what has ended is kept.
using SweepWatcher = std::function<bool(const SweepProgress&)>;

struct SweepSummary {
  size_t ok = 0;
  size_t failed = 0;
  size_t skipped = 0;  // were in the folder already
  bool interrupted = false;
  std::vector<std::string> errors;  // "POINT: MESSAGE", of this run
};

// "spark:0.1-0.9+0.2,think:0.5" → {"spark:0.1", "spark:0.3", …, "think:0.5"}, each once. A range
// `first-last+step` may stand for any number of a stage; several in a plan give every combination.
// Commas in brackets do not separate. Throws UsageError for what is no plan.
std::vector<std::string> ExpandPlans(std::string_view list);

// Measures every point that the folder does not hold yet, and writes results.jsonl (a line as each
// point ends), config.json, results.csv and report.html there. A point that fails is recorded with
// its error. Throws UsageError for settings that cannot be meant or that are not the folder's, and
// Error when the folder cannot be written: what had ended before is in results.jsonl then.
SweepSummary RunSweep(const Model& model, const SweepOptions& options,
                      const SweepWatcher& watcher = {});

// Puts the points of several folders (shards of one sweep) into one, with its tables and report.
// Throws Error if their settings differ.
SweepSummary MergeSweeps(std::span<const std::string> folders, const std::string& out);

// The points of a folder as "md", "csv", "jsonl" or "json".
std::string SweepTable(const std::string& folder, std::string_view format);

// Names for --task: nll, speed and the retrieval tasks.
std::vector<std::string> SweepTaskNames();

}  // namespace spark

#endif  // SPARK_SWEEP_H_
