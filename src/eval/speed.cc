// The task `speed`: how fast a context is read and compressed, and tokens behind it decoded.
#include <algorithm>
#include <numeric>
#include <random>

#include "base/seconds.h"
#include "eval/runner.h"

namespace spark {
namespace {

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Tokens of the text, again and again; without a text drawn from the vocabulary.
std::vector<TokenId> SomeTokens(const Bench& bench, size_t n) {
  std::vector<TokenId> ids(n);
  const size_t vocab = bench.model.info().vocab_size;
  std::mt19937_64 random(bench.options.seed);
  for (size_t i = 0; i < n; ++i) {
    ids[i] = bench.text.empty() ? static_cast<TokenId>(random() % vocab)
                                : bench.text[i % bench.text.size()];
  }
  return ids;
}

// Decodes some tokens and returns how many a second.
double DecodeRate(Session& session, std::span<const TokenId> ids) {
  const Clock::time_point start = Clock::now();
  for (const TokenId id : ids) {
    session.Append(std::span(&id, 1));
    session.NextLogits();
  }
  return static_cast<double>(ids.size()) / SecondsSince(start);
}

// How many tokens take about kRoundSeconds; decodes a few to find out.
size_t RoundTokens(Candidate& candidate, std::span<const TokenId> ids) {
  constexpr double kRoundSeconds = 0.2;
  const double rate = DecodeRate(*candidate.session, ids.first(kLeastSpeedTokens));
  const auto n = static_cast<size_t>(rate * kRoundSeconds);
  return std::clamp(n, kLeastSpeedTokens, kMostSpeedTokens);
}

// All candidates in turn, several times over: what slows the machine down for a while slows all of
// them. rates[i]: of candidate i, one a round. ids: [kMostSpeedTokens]
std::vector<std::vector<double>> DecodeRates(const Bench& bench, std::vector<Candidate>& candidates,
                                             std::span<const TokenId> ids) {
  // A rewound window needs a copy, which would take room of its own: with windows, tokens stay.
  const std::vector<size_t>& windows = bench.model.info().windows;
  const bool rewind = std::ranges::all_of(windows, [](size_t w) { return w == 0; });
  std::vector<std::vector<double>> rates(candidates.size());
  size_t n = kMostSpeedTokens;
  // All warm up; the slowest says how long a round is.
  ForEachLive(candidates, [&](Candidate& c) { n = std::min(n, RoundTokens(c, ids)); });
  for (size_t round = 0; round < kSpeedRounds; ++round) {
    ForEachLive(candidates, [&](Candidate& c) {
      if (rewind) c.session->Rewind();
      rates[static_cast<size_t>(&c - candidates.data())].push_back(
          DecodeRate(*c.session, ids.first(n)));
      bench.meter.Step(kRoundWork);
    });
  }
  return rates;
}

// Of a depth, the tokens that are read: SweepOptions::depth_read.
size_t ReadTokens(const SweepOptions& options, size_t depth) {
  return options.depth_read == 0 ? depth : std::min(options.depth_read, depth);
}

// Reads a few tokens that do not count, as other programs' benchmarks do: the first to touch the
// model's pages waits for them.
void WarmUp(const Bench& bench, const Point& point) {
  constexpr size_t kTokens = 64;
  std::vector<Candidate> candidates = MakeCandidates(std::span(&point, 1));
  PrefillAll(bench, candidates, SomeTokens(bench, kTokens), 0, 0);
}

// Gives every candidate a session with `depth` tokens in its cache.
void ReachDepth(const Bench& bench, std::vector<Candidate>& candidates, size_t depth) {
  const size_t read = ReadTokens(bench.options, depth);
  const size_t room = kLeastSpeedTokens + kSpeedRounds * kMostSpeedTokens;
  PrefillAll(bench, candidates, SomeTokens(bench, read), depth - read + room,
             static_cast<double>(read));
  ForEachLive(candidates, [&](Candidate& c) {
    if (read < depth) c.session->RepeatContext(depth / read);
    c.measured = {};  // the figures of a record are those of the largest depth
    c.measured.Add(*c.session);
  });
}

Record SpeedEntry(size_t depth, size_t read, const Session& session,
                  const std::vector<double>& rates, const std::vector<double>& dense) {
  const SessionTimes& times = session.times();
  const double all = times.prefill_seconds + times.compress_seconds;
  Record entry = {{"depth", depth},
                  {"read", read},
                  {"prefill_tokens_per_second", static_cast<double>(read) / times.prefill_seconds},
                  {"compress_share", times.compress_seconds / all},
                  {"decode_tokens_per_second", Median(rates)},
                  {"decode_low", std::ranges::min(rates)},
                  {"decode_high", std::ranges::max(rates)}};
  if (dense.size() != rates.size()) return entry;
  std::vector<double> ratios;
  for (size_t i = 0; i < rates.size(); ++i) ratios.push_back(rates[i] / dense[i]);
  entry["decode_ratio"] = Median(ratios);  // to `none`, of rounds side by side
  entry["decode_ratio_low"] = std::ranges::min(ratios);
  entry["decode_ratio_high"] = std::ranges::max(ratios);
  return entry;
}

}  // namespace

std::vector<Record> RunSpeed(const Bench& bench, std::span<const Point> points) {
  Point dense = points.front();
  dense.kv = "none";
  dense.k = bench.options.cache_types_k.front();
  dense.v = bench.options.cache_types_v.front();
  std::vector<Candidate> candidates = MakeCandidates(points);
  const auto found =
      std::ranges::find_if(points, [&](const Point& point) { return point.Key() == dense.Key(); });
  const auto dense_at = static_cast<size_t>(found - points.begin());
  if (found == points.end()) candidates.emplace_back(dense);

  WarmUp(bench, dense);
  std::vector<Record> tables(candidates.size(), Record::array());
  std::vector<size_t> depths = bench.options.depths;
  std::ranges::sort(depths);
  for (const size_t depth : depths) {
    ReachDepth(bench, candidates, depth);
    const auto rates = DecodeRates(bench, candidates, SomeTokens(bench, kMostSpeedTokens));
    for (size_t i = 0; i < candidates.size(); ++i) {
      Candidate& c = candidates[i];
      if (c.failed()) continue;
      tables[i].push_back(SpeedEntry(depth, ReadTokens(bench.options, depth), *c.session, rates[i],
                                     rates[dense_at]));
      c.session.reset();
    }
  }
  std::vector<Record> records;
  for (size_t i = 0; i < points.size(); ++i) {
    Record& record = records.emplace_back(MakeRecord(bench, candidates[i]));
    record["metric"] = "speed";
    if (candidates[i].failed()) continue;
    record["prefill_tokens_per_second"] = tables[i].back()["prefill_tokens_per_second"];
    record["decode_tokens_per_second"] = tables[i].back()["decode_tokens_per_second"];
    record["speed"] = std::move(tables[i]);
  }
  return records;
}

}  // namespace spark
