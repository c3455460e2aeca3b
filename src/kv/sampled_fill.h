// Sampled recovery of pruned key channels (SparK, arXiv 2508.15212, its ablation of recoveries):
// instead of all counting as the mean, pruned contributions are drawn from a distribution with the
// token's moments.
//
// For a token: draw D samples of |N(mean, std)| or Exp(mean) of its D contributions; the largest
// sample belongs to the channel of the largest contribution, and so on; a sample above the smallest
// kept contribution becomes the mean of the pruned ones, or that threshold; a pruned channel reads
// as sign * sqrt(sample / w).
//
// Samples are never stored: a generator that is keyed by (seed, layer, head, token) draws them
// again for every look. What it cannot know is stored:
//   tokens [n]     number of the token when it was packed, so that Select() keeps its samples; mean
//                  and standard deviation of all contributions; the smallest kept one
//   ranks  [n, P]  u8, of the P pruned channels among all D, in channel order; P may differ
// A whole row of D samples is drawn and sorted to read one key, so this is for studies, not speed.
#ifndef SPARK_KV_SAMPLED_FILL_H_
#define SPARK_KV_SAMPLED_FILL_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"

namespace spark {

enum class Distribution : uint8_t {
  kNormal,       // |N(mean, std)|
  kExponential,  // of this mean
};

// What a sample above the smallest kept contribution becomes.
enum class Clip : uint8_t { kMean, kThreshold };

struct SampleOptions {
  Distribution distribution = Distribution::kNormal;
  Clip clip = Clip::kMean;
  uint64_t seed = 1;
};

// Names one stream of samples. The generator is our own, as are the transforms: those of standard
// libraries differ, and a cache must read the same everywhere.
struct SampleKey {
  uint64_t seed = 1;
  uint64_t layer = 0;
  uint64_t head = 0;
  uint64_t token = 0;
};

// Fills `out` with samples: |N(mean, std)|, or Exp(mean), which needs no `std`.
void DrawSamples(const SampleKey& key, Distribution distribution, float mean, float std,
                 std::span<float> out);

// Views of arrays that packing only reads.
struct SampledInput {
  SampleOptions options;
  size_t layer = 0;
  size_t head = 0;
  size_t first_token = 0;                // number of token 0
  const float* contributions = nullptr;  // [n_tokens, head_dim], none negative
};

class SampledFill {
 public:
  static constexpr size_t kMaxHeadDim = 256;  // a rank is one byte

  SampledFill() = default;
  // masks: [n_tokens, ceil(head_dim/8)], bits of kept channels. Throws Error beyond kMaxHeadDim.
  SampledFill(const SampledInput& input, const uint8_t* masks, size_t n_tokens, size_t head_dim);

  SampledFill Select(std::span<const uint32_t> tokens) const;

  const SampleOptions& options() const { return options_; }

  // sqrt(sample) of the pruned channels of token t, in channel order. `scalar`: sqrt of the mean of
  // the token's pruned contributions.
  std::vector<float> Amplitudes(size_t t, float scalar) const;

  size_t MomentBytes() const { return tokens_.AllocatedBytes(); }
  size_t RankBytes() const { return ranks_.AllocatedBytes(); }

 private:
  struct Token {
    uint32_t number;
    uint32_t first_rank;  // where in ranks_ its own begin; they end where the next token's begin
    float mean, std;
    float threshold;  // infinite when nothing is kept: no sample is clipped
  };

  SampledFill(const SampledFill& other, size_t n_tokens, size_t n_ranks);  // room for a selection

  size_t size() const { return tokens_.size() / sizeof(Token); }
  Token* tokens() { return reinterpret_cast<Token*>(tokens_.data()); }
  const Token* tokens() const { return reinterpret_cast<const Token*>(tokens_.data()); }
  std::span<const uint8_t> Ranks(size_t t) const;
  Token PackToken(const float* contributions, const uint8_t* mask, uint8_t* ranks) const;

  SampleOptions options_;
  size_t layer_ = 0;
  size_t head_ = 0;
  size_t head_dim_ = 0;
  AlignedBytes tokens_, ranks_;
};

}  // namespace spark

#endif  // SPARK_KV_SAMPLED_FILL_H_
