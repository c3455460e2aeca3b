#include "eval/runner.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "eval/metric.h"
#include "eval/task.h"
#include "spark/generation.h"
#include "spark/prompt.h"
#include "spark/statistics.h"

namespace spark {
namespace {

SessionOptions OptionsOf(const Bench& bench, const Candidate& candidate, size_t tokens) {
  SessionOptions options;
  options.plan = candidate.plan;
  options.cache_type_k = candidate.point.k;
  options.cache_type_v = candidate.point.v;
  options.context_size = tokens;
  options.keep_context = false;  // nothing is rewound: a sample has one question
  options.batch_size = bench.options.batch_size;
  options.backend = bench.options.backend;
  options.device = bench.options.device;
  options.compute_f32 = bench.options.compute_f32;
  options.threads = candidate.point.threads;
  return options;
}

// Each by itself: shows which of them cannot be prefilled, and why.
void PrefillOneByOne(const Bench& bench, std::span<Candidate> candidates,
                     std::span<const TokenId> ids, size_t room) {
  ForEachLive(candidates, [&](Candidate& c) {
    c.session.reset();
    c.session = std::make_unique<Session>(bench.model, OptionsOf(bench, c, ids.size() + room));
    c.session->Prefill(ids, bench.meter.Within(0));
  });
}

// Makes every live candidate a session; true if all of them could be made and prefilled together.
bool PrefillTogether(const Bench& bench, std::span<Candidate> candidates,
                     std::span<const TokenId> ids, size_t room, double units) {
  std::vector<Session*> sessions;
  try {
    for (Candidate& c : candidates) {
      c.session.reset();
      if (c.failed()) continue;
      c.session = std::make_unique<Session>(bench.model, OptionsOf(bench, c, ids.size() + room));
      sessions.push_back(c.session.get());
    }
    Session::PrefillTogether(sessions, ids, bench.meter.Within(units));
    return true;
  } catch (const Interrupted&) {
    throw;
  } catch (const Error&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

std::vector<TokenId> Joined(std::vector<TokenId> ids, std::span<const TokenId> more) {
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

// The likeliest answer, behind a context that has been read.
std::string Answer(const Bench& bench, const Sample& sample, std::span<const TokenId> question,
                   Candidate& c) {
  if (!question.empty()) c.session->Append(question, bench.meter.Within(0));
  GenerationOptions options;
  options.max_tokens = sample.max_new_tokens;
  options.stops = sample.stops;
  options.interrupted = [&] { return bench.meter.stopped(); };
  const Generation answer = Generate(*c.session, bench.model.tokenizer(), {}, options, {});
  if (answer.stop_reason == StopReason::kInterrupted) throw Interrupted();
  c.measured.decode_seconds += answer.decode_seconds;
  c.measured.decode_steps += static_cast<double>(answer.decode_steps);
  return answer.text;
}

struct AnswerScores {
  std::vector<double> all;
  std::vector<std::pair<double, double>> by_depth;  // depth, score
};

Record DepthTable(std::vector<std::pair<double, double>> scores) {
  if (scores.empty()) return nullptr;
  std::ranges::stable_sort(scores, {}, [](const auto& entry) { return entry.first; });
  Record table = Record::array();
  for (size_t begin = 0; begin < scores.size();) {
    double sum = 0;
    size_t end = begin;
    for (; end < scores.size() && scores[end].first == scores[begin].first; ++end) {
      sum += scores[end].second;
    }
    const size_t n = end - begin;
    table.push_back(
        {{"depth", scores[begin].first}, {"score", sum / static_cast<double>(n)}, {"n", n}});
    begin = end;
  }
  return table;
}

}  // namespace

void WorkMeter::Step(double units) {
  done_ += units;
  if (!watch_(done_)) throw Interrupted();
}

Progress WorkMeter::Within(double units) {
  return [this, units](size_t done, size_t total) {
    const double share =
        static_cast<double>(done) / static_cast<double>(std::max<size_t>(total, 1));
    return watch_(done_ + units * share);
  };
}

void Measured::Add(const Session& session) {
  const KvBytes b = session.kv_bytes();
  const std::array<size_t, 6> parts = {b.key_values,  b.key_masks, b.key_signs,
                                       b.key_scalars, b.values,    b.dense_tail};
  for (size_t i = 0; i < parts.size(); ++i) bytes[i] += static_cast<double>(parts[i]);
  bytes_dense_f16 += static_cast<double>(session.kv_bytes_dense_f16());
  context_tokens += static_cast<double>(session.context_tokens());
  prefill_seconds += session.times().prefill_seconds;
  compress_seconds += session.times().compress_seconds;
  if (!kept) kept = session.kept();
  ++n;
}

std::vector<Candidate> MakeCandidates(std::span<const Point> points) {
  return std::vector<Candidate>(points.begin(), points.end());
}

void ForEachLive(std::span<Candidate> candidates, const std::function<void(Candidate&)>& body) {
  for (Candidate& c : candidates) {
    if (c.failed()) continue;
    try {
      body(c);
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& error) {
      c.error = error.what();
    } catch (const std::bad_alloc&) {
      c.error = "out of memory";
    }
    if (c.failed()) c.session.reset();
  }
}

void PrefillAll(const Bench& bench, std::span<Candidate> candidates, std::span<const TokenId> ids,
                size_t room, double units) {
  if (!PrefillTogether(bench, candidates, ids, room, units)) {
    PrefillOneByOne(bench, candidates, ids, room);
  }
  for (Candidate& c : candidates) {
    if (!c.failed()) c.measured.Add(*c.session);
  }
  bench.meter.Step(units);
}

std::vector<Record> RunRetrieval(const Bench& bench, std::span<const Point> points) {
  const Point& first = points.front();
  const std::unique_ptr<Task> task = MakeTask(first.task);
  const std::vector<Sample> samples =
      task->Samples({bench.options.samples, first.context, bench.options.seed}, bench.model);
  if (samples.empty()) throw Error("the task has no samples");
  const Tokenizer& tokenizer = *bench.model.tokenizer();
  std::vector<Candidate> candidates = MakeCandidates(points);
  std::vector<AnswerScores> scores(candidates.size());
  for (const Sample& sample : samples) {
    std::vector<TokenId> context = EncodeContext(tokenizer, sample.context);
    std::vector<TokenId> question = tokenizer.Encode(sample.question, Tokenizer::Special::kParse);
    if (bench.options.query_aware)
      context = Joined(std::move(context), std::exchange(question, {}));
    PrefillAll(bench, candidates, context, question.size() + sample.max_new_tokens,
               static_cast<double>(first.context));
    ForEachLive(candidates, [&](Candidate& c) {
      const double score =
          Score(task->metric(), Answer(bench, sample, question, c), sample.answers);
      AnswerScores& own = scores[static_cast<size_t>(&c - candidates.data())];
      own.all.push_back(score);
      if (sample.depth) own.by_depth.emplace_back(*sample.depth, score);
      c.session.reset();
      bench.meter.Step(kAnswerWork);
    });
  }
  std::vector<Record> records;
  for (size_t i = 0; i < candidates.size(); ++i) {
    Record& record = records.emplace_back(MakeRecord(bench, candidates[i]));
    record["metric"] = Name(task->metric());
    if (candidates[i].failed()) continue;
    const Estimate score = MeanWithInterval(scores[i].all, bench.options.seed);
    record["score"] = score.mean;
    record["score_low"] = score.low;
    record["score_high"] = score.high;
    record["by_depth"] = DepthTable(scores[i].by_depth);
  }
  return records;
}

std::vector<Record> RunGroup(const Bench& bench, std::span<const Point> points) {
  try {
    const std::string& task = points.front().task;
    if (task == "nll") return RunNll(bench, points);
    if (task == "speed") return RunSpeed(bench, points);
    return RunRetrieval(bench, points);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    std::vector<Record> records;
    for (Candidate& c : MakeCandidates(points)) {
      c.error = error.what();
      records.push_back(MakeRecord(bench, c));
    }
    return records;
  }
}

size_t PointsTogether(const Bench& bench, const Point& point) {
  const ModelInfo& model = bench.model.info();
  const std::vector<size_t>& depths = bench.options.depths;
  const size_t context =
      point.task == "speed" ? *std::max_element(depths.begin(), depths.end()) : point.context;
  size_t tokens = 0;  // of all layers
  for (const size_t window : model.windows) {
    tokens += window == 0 ? context : std::min(window, context);
  }
  const size_t element = point.k == CacheType::kF32 || point.v == CacheType::kF32 ? 4 : 2;
  const size_t bytes = 2 * element * tokens * model.n_kv_heads * model.head_dim;
  return std::max<size_t>(1, bench.options.shared_cache_bytes / std::max<size_t>(1, bytes));
}

double WorkOf(const SweepOptions& options, const Point& point, size_t n) {
  const auto points = static_cast<double>(n);
  const auto samples = static_cast<double>(options.samples);
  if (point.task == "speed") {
    const double decode = points * static_cast<double>(kSpeedRounds) * kRoundWork;
    double work = 0;
    for (const size_t depth : options.depths) {
      const size_t read = options.depth_read == 0 ? depth : std::min(options.depth_read, depth);
      work += static_cast<double>(read) + decode;
    }
    return work;
  }
  const double each = point.task == "nll" ? static_cast<double>(options.continuation) : kAnswerWork;
  return samples * (static_cast<double>(point.context) + points * each);
}

}  // namespace spark
