#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "spark/error.h"
#include "spark/sampling.h"

namespace spark {
namespace {

struct Candidate {
  TokenId id;
  float logit;
};

// The order of preference: larger logits first, the lower id where two are equal.
bool Better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

[[noreturn]] void FailWithoutCandidates() {
  throw Error("the model's output has no finite number in it: its weights may be damaged");
}

TokenId ArgMax(std::span<const float> logits) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t best = kNone;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i]) && (best == kNone || logits[i] > logits[best])) best = i;
  }
  if (best == kNone) FailWithoutCandidates();
  return static_cast<TokenId>(best);
}

std::vector<Candidate> FiniteCandidates(std::span<const float> logits) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) candidates.push_back({static_cast<TokenId>(i), logits[i]});
  }
  if (candidates.empty()) FailWithoutCandidates();
  return candidates;
}

// The likeliest candidates, in order of preference, each found when it is first asked for: a
// vocabulary has up to 256k tokens, of which a draw looks at a few dozen.
class Ranking {
 public:
  // Sorts what it needs of `candidates` in place; of them the best `limit` take part (0: all).
  Ranking(std::vector<Candidate>& candidates, size_t limit) : candidates_(candidates) {
    if (limit == 0 || limit >= candidates_.size()) return;
    std::nth_element(candidates_.begin(), At(limit), candidates_.end(), Better);
    candidates_.resize(limit);
  }

  size_t size() const { return candidates_.size(); }

  const Candidate& operator[](size_t rank) {
    while (rank >= sorted_) SortMore();
    return candidates_[rank];
  }

  // Sum over all candidates of exp(logit - largest).
  double TotalWeight() {
    const double largest = (*this)[0].logit;
    double total = 0;
    for (const Candidate& candidate : candidates_) total += std::exp(candidate.logit - largest);
    return total;
  }

 private:
  std::vector<Candidate>::iterator At(size_t rank) {
    return candidates_.begin() + static_cast<std::ptrdiff_t>(rank);
  }

  void SortMore() {
    const size_t end = std::min(candidates_.size(), std::max<size_t>(64, sorted_ * 4));
    std::partial_sort(At(sorted_), At(end), candidates_.end(), Better);
    sorted_ = end;
  }

  std::vector<Candidate>& candidates_;
  size_t sorted_ = 0;  // candidates_[0, sorted_) are the best ones, in order
};

// How many of the best candidates the nucleus (top-p) and the floor (min-p) leave. At least one.
size_t CountKept(Ranking& ranking, float top_p, float min_p) {
  const double largest = ranking[0].logit;
  const double mass = top_p < 1 ? top_p * ranking.TotalWeight() : 0;
  double sum = 0;
  size_t kept = 0;
  while (kept < ranking.size()) {
    const double weight = std::exp(ranking[kept].logit - largest);
    if (kept > 0 && weight < static_cast<double>(min_p)) break;
    ++kept;
    sum += weight;
    if (top_p < 1 && sum >= mass) break;
  }
  return kept;
}

// Uniform in [0, 1). std::uniform_real_distribution differs between standard libraries.
double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

TokenId Sampler::Sample(std::span<const float> logits) {
  std::vector<float> penalised;
  if (options_.repeat_penalty != 1 && !recent_.empty()) {
    penalised.assign(logits.begin(), logits.end());
    for (const TokenId id : std::unordered_set<TokenId>(recent_.begin(), recent_.end())) {
      if (id < 0 || static_cast<size_t>(id) >= penalised.size()) continue;
      float& logit = penalised[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    }
    logits = penalised;
  }
  if (options_.temperature <= 0) return ArgMax(logits);

  std::vector<Candidate> candidates = FiniteCandidates(logits);
  Ranking ranking(candidates, options_.top_k);
  const size_t kept = CountKept(ranking, options_.top_p, options_.min_p);

  std::vector<double> sums(kept);  // running sums of the kept candidates' weights
  const double largest = ranking[0].logit;
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    sum += std::exp((ranking[i].logit - largest) / static_cast<double>(options_.temperature));
    sums[i] = sum;
  }
  const double drawn = Uniform(random_) * sum;
  const auto found = std::upper_bound(sums.begin(), sums.end(), drawn);
  return ranking[std::min(static_cast<size_t>(found - sums.begin()), kept - 1)].id;
}

void Sampler::Accept(TokenId id) { Accept(std::span(&id, 1)); }

void Sampler::Accept(std::span<const TokenId> ids) {
  const size_t limit = options_.repeat_last_n;
  if (ids.size() > limit) ids = ids.last(limit);
  recent_.insert(recent_.end(), ids.begin(), ids.end());
  if (recent_.size() > limit) {
    recent_.erase(recent_.begin(), recent_.end() - static_cast<std::ptrdiff_t>(limit));
  }
}

}  // namespace spark
