// From logits to the next token.
#ifndef SPARK_SAMPLING_H_
#define SPARK_SAMPLING_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

struct SamplingOptions {
  float temperature = 0;      // 0: the most likely token
  size_t top_k = 40;          // 0: all
  float top_p = 0.95f;        // 1: all
  float min_p = 0.05f;        // relative to the most likely token; 0: all
  float repeat_penalty = 1;   // 1: none
  size_t repeat_last_n = 64;  // tokens that the penalty looks back on
  uint64_t seed = 0;
};

// Applies, in this order: repeat penalty, temperature 0 (then done), top-k, top-p, min-p,
// temperature, draw. The same seed and logits give the same tokens.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);

  // Ties go to the lower id; logits that are not finite are never drawn. Throws Error when none is
  // finite.
  TokenId Sample(std::span<const float> logits);

  // Tells the sampler what was fed to the model, prompt included: the penalty's memory.
  void Accept(TokenId id);
  void Accept(std::span<const TokenId> ids);

 private:
  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<TokenId> recent_;  // at most repeat_last_n, oldest first
};

}  // namespace spark

#endif  // SPARK_SAMPLING_H_
