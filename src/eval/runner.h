// Measures groups of points: a prefill of each context, shared by all plans.
#ifndef SPARK_EVAL_RUNNER_H_
#define SPARK_EVAL_RUNNER_H_

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/points.h"
#include "eval/record.h"
#include "spark/session.h"

namespace spark {

// How much work is done, in units that take about as long as a token of a prefill.
class WorkMeter {
 public:
  using Watch = std::function<bool(double done)>;  // false: stop
  explicit WorkMeter(Watch watch) : watch_(std::move(watch)) {}

  void Step(double units);        // this much more; throws Interrupted
  Progress Within(double units);  // of a pass that a Step() of as many units will follow
  bool stopped() { return !watch_(done_); }
  void SetDone(double done) { done_ = done; }

 private:
  Watch watch_;
  double done_ = 0;
};

// What all points of a sweep share. `text`: the tokens of SweepOptions::text, if there is one.
struct Bench {
  const Model& model;
  const SweepOptions& options;
  const std::vector<TokenId>& text;
  WorkMeter& meter;
};

// Sums over the samples of a point.
struct Measured {
  size_t n = 0;
  std::array<double, 6> bytes{};  // key values, masks, signs, scalars, values, dense tail
  double bytes_dense_f16 = 0;
  double context_tokens = 0;
  double prefill_seconds = 0;
  double compress_seconds = 0;
  double decode_seconds = 0;
  double decode_steps = 0;
  std::optional<KeptShares> kept;  // of the first

  void Add(const Session& session);  // as it is behind its context
};

// A point under way.
struct Candidate {
  explicit Candidate(const Point& p) : point(p), plan(CompressionPlan::Parse(p.kv)) {}

  bool failed() const { return !error.empty(); }

  Point point;
  CompressionPlan plan;
  std::unique_ptr<Session> session;  // of the sample at hand; null once the point has failed
  std::string error;
  Measured measured;
};

std::vector<Candidate> MakeCandidates(std::span<const Point> points);

// Gives every candidate that has not failed a session that has read `ids`, with room for that many
// tokens more, in one pass. Where that does not work, each reads them by itself, and those that
// cannot have failed. `units`: of work.
void PrefillAll(const Bench& bench, std::span<Candidate> candidates, std::span<const TokenId> ids,
                size_t room, double units);

// Runs `body` on every candidate that has not failed; one that throws Error (but not Interrupted)
// has failed.
void ForEachLive(std::span<Candidate> candidates, const std::function<void(Candidate&)>& body);

// What is the same for all tasks; figures of tasks are null.
Record MakeRecord(const Bench& bench, const Candidate& candidate);

// Points of one group, at most PointsTogether() of them. One record each, in their order.
std::vector<Record> RunGroup(const Bench& bench, std::span<const Point> points);

// The same for one kind of task. They throw Error where no point could be measured.
std::vector<Record> RunRetrieval(const Bench& bench, std::span<const Point> points);
std::vector<Record> RunNll(const Bench& bench, std::span<const Point> points);
std::vector<Record> RunSpeed(const Bench& bench, std::span<const Point> points);

// How many points of a group share a prefill: as many dense caches as fit into
// SweepOptions::shared_cache_bytes, at least one. Compressed caches take less; two layers are dense
// in f32 besides.
size_t PointsTogether(const Bench& bench, const Point& point);

// Of `n` points of a group.
double WorkOf(const SweepOptions& options, const Point& point, size_t n);

// Work of a point behind the prefill of one sample.
inline constexpr double kAnswerWork = 64;
// `speed`: decoding is measured so many times, in turn with the others, so many tokens at a time.
inline constexpr size_t kSpeedRounds = 5;
inline constexpr size_t kLeastSpeedTokens = 8;
inline constexpr size_t kMostSpeedTokens = 128;
inline constexpr double kRoundWork = 64;

}  // namespace spark

#endif  // SPARK_EVAL_RUNNER_H_
