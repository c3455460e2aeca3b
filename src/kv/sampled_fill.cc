#include "kv/sampled_fill.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "base/ranking.h"
#include "kv/channel_mask.h"
#include "spark/error.h"

namespace spark {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): the state only counts, so any draw can be had directly.
constexpr uint64_t kGamma = 0x9E3779B97F4A7C15;

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// Start of a stream: every part of the key is mixed in before the next is added.
uint64_t StreamStart(const SampleKey& key) {
  uint64_t state = 0;
  for (const uint64_t part : {key.seed, key.layer, key.head, key.token}) {
    state = Mix(state + kGamma + part);
  }
  return state;
}

// Number i of a stream, in (0, 1]: its logarithm is finite.
double Uniform(uint64_t start, size_t i) {
  const uint64_t bits = Mix(start + (i + 1) * kGamma);
  return static_cast<double>((bits >> 11) + 1) * 0x1p-53;
}

// Box and Muller (1958): two uniform numbers give two independent normal ones.
double StandardNormal(uint64_t start, size_t i) {
  const double radius = std::sqrt(-2 * std::log(Uniform(start, i & ~size_t{1})));
  const double angle = 2 * std::numbers::pi * Uniform(start, i | 1);
  return radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// Mean and unbiased standard deviation (0 for one number), as torch computes them.
std::pair<float, float> MeanAndStd(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += value;
  const double mean = sum / static_cast<double>(x.size());
  double squares = 0;
  for (const float value : x) squares += (value - mean) * (value - mean);
  const double std = x.size() > 1 ? std::sqrt(squares / static_cast<double>(x.size() - 1)) : 0;
  return {static_cast<float>(mean), static_cast<float>(std)};
}

}  // namespace

void DrawSamples(const SampleKey& key, Distribution distribution, float mean, float std,
                 std::span<float> out) {
  const uint64_t start = StreamStart(key);
  for (size_t i = 0; i < out.size(); ++i) {
    const double sample = distribution == Distribution::kNormal
                              ? std::abs(mean + std * StandardNormal(start, i))
                              : -mean * std::log(Uniform(start, i));
    out[i] = static_cast<float>(sample);
  }
}

SampledFill::SampledFill(const SampledInput& input, const uint8_t* masks, size_t n_tokens,
                         size_t head_dim)
    : options_(input.options), layer_(input.layer), head_(input.head), head_dim_(head_dim) {
  if (head_dim > kMaxHeadDim) {
    throw Error("sampled recovery stores the rank of a channel in one byte",
                {.field = "head dimension",
                 .found = std::to_string(head_dim),
                 .allowed = "at most " + std::to_string(kMaxHeadDim)});
  }
  if (n_tokens * head_dim > UINT32_MAX) throw Error("more than 4 GiB of ranks in one segment");
  const size_t mask_bytes = MaskBytes(head_dim);
  const size_t n_kept = CountMaskBits(masks, n_tokens * mask_bytes);
  tokens_.Resize(n_tokens * sizeof(Token));
  ranks_.Resize(n_tokens * head_dim - n_kept);
  auto* ranks = reinterpret_cast<uint8_t*>(ranks_.data());
  size_t at = 0;
  for (size_t t = 0; t < n_tokens; ++t) {
    const uint8_t* mask = masks + t * mask_bytes;
    Token& token = tokens()[t];
    token = PackToken(input.contributions + t * head_dim, mask, ranks + at);
    token.number = static_cast<uint32_t>(input.first_token + t);
    token.first_rank = static_cast<uint32_t>(at);
    at += head_dim - CountMaskBits(mask, mask_bytes);
  }
}

// Writes the ranks of the pruned channels, and returns the token's moments.
SampledFill::Token SampledFill::PackToken(const float* contributions, const uint8_t* mask,
                                          uint8_t* ranks) const {
  std::vector<uint64_t> order(head_dim_);
  for (size_t j = 0; j < head_dim_; ++j) order[j] = RankKey(contributions[j], j);
  std::sort(order.begin(), order.end(), std::greater<>());
  std::vector<uint8_t> rank_of(head_dim_);
  float threshold = std::numeric_limits<float>::infinity();
  for (size_t rank = 0; rank < head_dim_; ++rank) {
    const size_t j = RankedIndex(order[rank]);
    rank_of[j] = static_cast<uint8_t>(rank);
    if (MaskBit(mask, j)) threshold = contributions[j];  // the last one is the smallest
  }
  for (size_t j = 0; j < head_dim_; ++j) {
    if (!MaskBit(mask, j)) *ranks++ = rank_of[j];
  }
  const auto [mean, std] = MeanAndStd({contributions, head_dim_});
  return {.number = 0, .first_rank = 0, .mean = mean, .std = std, .threshold = threshold};
}

SampledFill::SampledFill(const SampledFill& other, size_t n_tokens, size_t n_ranks)
    : options_(other.options_),
      layer_(other.layer_),
      head_(other.head_),
      head_dim_(other.head_dim_) {
  tokens_.Resize(n_tokens * sizeof(Token));
  ranks_.Resize(n_ranks);
}

SampledFill SampledFill::Select(std::span<const uint32_t> numbers) const {
  size_t n_ranks = 0;
  for (const uint32_t t : numbers) n_ranks += Ranks(t).size();
  SampledFill out(*this, numbers.size(), n_ranks);
  auto* ranks = reinterpret_cast<uint8_t*>(out.ranks_.data());
  size_t at = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const std::span<const uint8_t> own = Ranks(numbers[i]);
    out.tokens()[i] = tokens()[numbers[i]];
    out.tokens()[i].first_rank = static_cast<uint32_t>(at);
    std::copy(own.begin(), own.end(), ranks + at);
    at += own.size();
  }
  return out;
}

std::span<const uint8_t> SampledFill::Ranks(size_t t) const {
  const size_t begin = tokens()[t].first_rank;
  const size_t end = t + 1 < size() ? tokens()[t + 1].first_rank : ranks_.size();
  return {reinterpret_cast<const uint8_t*>(ranks_.data()) + begin, end - begin};
}

std::vector<float> SampledFill::Amplitudes(size_t t, float scalar) const {
  const Token& token = tokens()[t];
  std::vector<float> samples(head_dim_);
  DrawSamples({options_.seed, layer_, head_, token.number}, options_.distribution, token.mean,
              token.std, samples);
  std::sort(samples.begin(), samples.end(), std::greater<>());

  const float ceiling = options_.clip == Clip::kMean ? scalar : std::sqrt(token.threshold);
  std::vector<float> amplitudes;
  for (const uint8_t rank : Ranks(t)) {
    amplitudes.push_back(samples[rank] > token.threshold ? ceiling : std::sqrt(samples[rank]));
  }
  return amplitudes;
}

}  // namespace spark
