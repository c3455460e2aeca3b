// What a run was, took and held.
#ifndef SPARK_STATISTICS_H_
#define SPARK_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "spark/kv_cache.h"
#include "spark/model.h"

namespace spark {

struct Statistics {
  std::string model;
  std::string arch;
  uint64_t parameters = 0;
  std::string quantization;
  std::string backend;
  std::string simd_target;
  int threads = 0;
  std::string kv;  // the compression plan, as given
  size_t context_tokens = 0;
  size_t question_tokens = 0;   // of all questions
  size_t generated_tokens = 0;  // of all answers
  std::string stop_reason;      // of the last answer
  double load_seconds = 0;
  double prefill_seconds = 0;
  double compress_seconds = 0;
  double decode_seconds = 0;
  size_t decode_steps = 0;  // tokens fed back during decode_seconds
  uint64_t peak_rss_bytes = 0;
  KvBytes kv_bytes;  // as allocated at the end of the run
  size_t kv_bytes_dense_f16 = 0;
  uint64_t seed = 0;
  std::string version;

  double prefill_tokens_per_second() const;  // 0 when nothing was measured
  double decode_tokens_per_second() const;
};

// Fills in what the model says about itself.
void Describe(const ModelInfo& model, Statistics& statistics);

// One JSON object on one line; keys as documented, numbers finite.
std::string ToJson(const Statistics& statistics);

// Some lines for people.
std::string ToText(const Statistics& statistics);

// The most memory that this process has held so far.
uint64_t PeakRssBytes();

// "1.5 MiB"
std::string FormatBytes(uint64_t bytes);

}  // namespace spark

#endif  // SPARK_STATISTICS_H_
