// The task `nll`: perplexity, KL divergence and agreement behind compressed contexts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/metric.h"
#include "eval/nll.h"
#include "eval/runner.h"

namespace spark {
namespace {

// The scores of one plan, a value a segment.
struct SegmentScores {
  std::vector<double> nll, kl, top1;

  void Add(const SegmentScore& score) {
    nll.push_back(score.nll);
    kl.push_back(score.kl);
    top1.push_back(score.top1);
  }
};

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The uncompressed cache: `none`, in the first of the cache types.
Point ReferencePoint(const Bench& bench, Point like) {
  like.kv = "none";
  like.k = bench.options.cache_types_k.front();
  like.v = bench.options.cache_types_v.front();
  return like;
}

// Segments that the text has, at most as many as asked for.
size_t CountSegments(const Bench& bench, size_t context) {
  const size_t length = context + bench.options.continuation;
  const size_t n = std::min(bench.options.samples, bench.text.size() / length);
  if (n == 0) {
    throw Error("the text is too short for one segment",
                {.file = bench.options.text,
                 .field = "tokens",
                 .found = std::to_string(bench.text.size()),
                 .allowed = fmt::format("at least {}", length)});
  }
  return n;
}

void SetFigures(const Bench& bench, const SegmentScores& own, const SegmentScores& reference,
                Record& record) {
  const uint64_t seed = bench.options.seed;
  const Estimate nll = MeanWithInterval(own.nll, seed);
  const Estimate kl = MeanWithInterval(own.kl, seed);
  const Estimate top1 = MeanWithInterval(own.top1, seed);
  for (const char* name : {"perplexity", "score"}) record[name] = std::exp(nll.mean);
  for (const char* name : {"perplexity_low", "score_low"}) record[name] = std::exp(nll.low);
  for (const char* name : {"perplexity_high", "score_high"}) record[name] = std::exp(nll.high);
  record["perplexity_loss"] = std::exp(Mean(own.nll) - Mean(reference.nll)) - 1;
  record["kl"] = kl.mean;
  record["kl_low"] = kl.low;
  record["kl_high"] = kl.high;
  record["top1"] = top1.mean;
  record["top1_low"] = top1.low;
  record["top1_high"] = top1.high;
}

// Scores one segment; scores[i] is of candidates[i].
void RunSegment(const Bench& bench, const TextSegment& segment, size_t reference_at,
                std::vector<Candidate>& candidates, std::vector<SegmentScores>& scores) {
  const size_t n = segment.continuation.size();
  PrefillAll(bench, candidates, segment.context, n, static_cast<double>(segment.context.size()));
  Candidate& reference = candidates[reference_at];
  if (reference.failed()) throw Error("the uncompressed cache: " + reference.error);
  ReferenceLogits logits(n - 1, bench.model.info().vocab_size);
  reference.session->Append(segment.continuation, bench.meter.Within(0), logits.Sink());
  reference.session.reset();
  const auto score_row = [&](Candidate& c, bool feed) {
    SegmentScorer scorer(segment.continuation, logits, std::max(1, c.point.threads));
    if (feed) {
      c.session->Append(segment.continuation, bench.meter.Within(static_cast<double>(n)),
                        scorer.Sink());
    } else {
      const LogitsSink sink = scorer.Sink();
      for (size_t i = 0; i + 1 < n; ++i) sink(1, logits.Row(i));
    }
    scores[static_cast<size_t>(&c - candidates.data())].Add(scorer.score());
    c.session.reset();
    bench.meter.Step(static_cast<double>(n));
  };
  ForEachLive(candidates, [&](Candidate& c) { score_row(c, &c != &reference); });
}

}  // namespace

std::vector<Record> RunNll(const Bench& bench, std::span<const Point> points) {
  const Point& first = points.front();
  const size_t n_segments = CountSegments(bench, first.context);
  std::vector<Candidate> candidates = MakeCandidates(points);
  const Point reference = ReferencePoint(bench, first);
  const auto found = std::ranges::find_if(
      points, [&](const Point& point) { return point.Key() == reference.Key(); });
  const auto reference_at = static_cast<size_t>(found - points.begin());
  if (found == points.end()) candidates.emplace_back(reference);
  std::vector<SegmentScores> scores(candidates.size());
  for (size_t i = 0; i < n_segments; ++i) {
    RunSegment(bench,
               CutSegment(bench.text, i, first.context, bench.options.continuation,
                          *bench.model.tokenizer()),
               reference_at, candidates, scores);
  }
  std::vector<Record> records;
  for (size_t i = 0; i < points.size(); ++i) {
    Record& record = records.emplace_back(MakeRecord(bench, candidates[i]));
    record["metric"] = "perplexity";
    if (!candidates[i].failed()) SetFigures(bench, scores[i], scores[reference_at], record);
  }
  return records;
}

}  // namespace spark
