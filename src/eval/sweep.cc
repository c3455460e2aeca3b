#include "spark/sweep.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

#include "base/seconds.h"
#include "eval/results.h"
#include "eval/runner.h"
#include "eval/seeded_random.h"
#include "eval/story.h"
#include "eval/table.h"
#include "eval/task.h"

namespace spark {
namespace {

[[noreturn]] void FailUsage(const std::string& field, const std::string& message) {
  throw UsageError(message, {.field = field});
}

// With threads and names as the points will have them. Throws UsageError.
SweepOptions Checked(const Model& model, SweepOptions options) {
  if (options.out.empty()) FailUsage("-o", "a folder for the results is missing");
  if (options.plans.empty()) FailUsage("--kv", "no plan given");
  if (options.tasks.empty()) FailUsage("--task", "no task given");
  if (options.samples == 0) FailUsage("--samples", "at least 1");
  if (options.continuation < 2) FailUsage("--continuation", "at least 2 tokens");
  if (options.shard < 1 || options.shard > options.n_shards)
    FailUsage("--shard", "i/n with i <= n");
  for (const std::string& plan : options.plans) CompressionPlan::Parse(plan);
  for (const std::string& task : options.tasks) {
    const bool own = task == "nll" || task == "speed";
    if (!own) MakeTask(task);
    if (task == "nll" && options.text.empty() && !KnowsStoriesOnly(model)) {
      FailUsage("--task nll", "needs --text FILE");
    }
    if (task != "speed" && model.tokenizer() == nullptr) {
      throw Error(fmt::format("the task {} needs a model with a tokenizer", task));
    }
    if (task == "speed" && options.depths.empty()) FailUsage("--depth", "no depth given");
    for (const size_t depth : options.depths) {
      if (options.depth_read > 0 && depth > options.depth_read && depth % options.depth_read > 0) {
        FailUsage("--depth-read", "depths beyond it must be multiples of it");
      }
    }
    if (task != "speed" && options.contexts.empty()) FailUsage("--context", "no context given");
  }
  for (int& threads : options.threads) {
    if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  return options;
}

// The default model knows nothing but stories: for it, enough of them. More of them begin alike.
std::vector<TokenId> Stories(const Model& model, const SweepOptions& options) {
  const size_t context = *std::max_element(options.contexts.begin(), options.contexts.end());
  const size_t n_tokens = options.samples * (context + options.continuation);
  SeededRandom random(options.seed, "nll", 0);
  std::vector<TokenId> ids;
  while (ids.size() < n_tokens) {
    std::string text;
    for (const std::string& sentence : story::StoryOrNotes(random)) text += sentence + " ";
    text.back() = '\n';
    const std::vector<TokenId> more = model.tokenizer()->Encode(text, Tokenizer::Special::kPlain);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

// Without special tokens: the text is data.
std::vector<TokenId> ReadText(const Model& model, const SweepOptions& options) {
  const std::string& path = options.text;
  if (model.tokenizer() == nullptr) return {};
  if (path.empty()) {
    const bool needed = std::ranges::count(options.tasks, "nll") > 0;
    return needed ? Stories(model, options) : std::vector<TokenId>{};
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw Error("cannot be read", {.file = path});
  return model.tokenizer()->Encode(text, Tokenizer::Special::kPlain);
}

std::string Now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

class Sweep {
 public:
  Sweep(const Model& model, const SweepOptions& options, const SweepWatcher& watcher)
      : model_(model),
        options_(options),
        watcher_(watcher),
        folder_(options.out),
        meter_([this](double done) { return Report(done); }) {}

  SweepSummary Run() {
    folder_.SetConfig(MakeConfig(model_, options_));
    text_ = ReadText(model_, options_);
    const std::vector<Point> todo = Todo();
    points_ = todo.size();
    const std::vector<std::span<const Point>> waves = Waves(todo);
    for (const auto& wave : waves) work_ += WorkOf(options_, wave.front(), wave.size());
    try {
      for (const auto& wave : waves) RunWave(wave);
    } catch (const Interrupted&) {
      summary_.interrupted = true;
    }
    folder_.WriteTables();
    return summary_;
  }

 private:
  // Points that the folder does not hold. Those that failed are tried again.
  std::vector<Point> Todo() {
    std::set<std::string> done;
    for (const Record& record : folder_.records()) {
      if (record["status"] == "ok") done.insert(record["point"].get<std::string>());
    }
    std::vector<Point> todo;
    for (Point& point : ShardPoints(MakePoints(options_), options_.shard, options_.n_shards)) {
      if (done.contains(point.Key())) {
        ++summary_.skipped;
      } else {
        todo.push_back(std::move(point));
      }
    }
    return todo;
  }

  Bench bench() { return {model_, options_, text_, meter_}; }

  // Neighbours that share a prefill.
  std::vector<std::span<const Point>> Waves(std::span<const Point> todo) {
    std::vector<std::span<const Point>> waves;
    while (!todo.empty()) {
      size_t n = 0;
      size_t most = SIZE_MAX;
      for (; n < todo.size() && n < most && todo[n].SameGroup(todo.front()); ++n) {
        most = std::min(most, PointsTogether(bench(), todo[n]));
      }
      waves.push_back(todo.first(n));
      todo = todo.subspan(n);
    }
    return waves;
  }

  void RunWave(std::span<const Point> points) {
    const Point& first = points.front();
    doing_ =
        first.context == 0 ? first.task : fmt::format("{}, context {}", first.task, first.context);
    const std::string started = Now();
    const Clock::time_point start = Clock::now();
    std::vector<Record> records = RunGroup(bench(), points);
    const double seconds = SecondsSince(start) / static_cast<double>(points.size());
    for (Record& record : records) {
      record["seconds"] = seconds;  // of a prefill that is shared, a share
      record["started"] = started;
      Take(record);
    }
    work_done_ += WorkOf(options_, first, points.size());
    meter_.SetDone(work_done_);
    if (SecondsSince(tables_written_) > kTableSeconds) WriteTables();
  }

  void Take(const Record& record) {
    folder_.Append(record);
    if (record["status"] == "ok") {
      ++summary_.ok;
      return;
    }
    ++summary_.failed;
    summary_.errors.push_back(fmt::format("{}: {}", record["point"].get<std::string>(),
                                          record["error"].get<std::string>()));
  }

  void WriteTables() {
    folder_.WriteTables();
    tables_written_ = Clock::now();
  }

  bool Report(double done) const {
    if (!watcher_) return true;
    SweepProgress progress;
    progress.points = points_;
    progress.points_done = summary_.ok + summary_.failed;
    progress.share = work_ > 0 ? std::min(1.0, done / work_) : 0;
    const double spent = SecondsSince(start_);
    if (progress.share > 0) progress.seconds_left = spent * (1 / progress.share - 1);
    progress.doing = doing_;
    return watcher_(progress);
  }

  static constexpr double kTableSeconds = 20;

  const Model& model_;
  const SweepOptions& options_;
  const SweepWatcher& watcher_;
  ResultsFolder folder_;
  WorkMeter meter_;
  std::vector<TokenId> text_;
  SweepSummary summary_;
  size_t points_ = 0;
  double work_ = 0, work_done_ = 0;
  std::string doing_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point tables_written_ = start_;
};

}  // namespace

SweepSummary RunSweep(const Model& model, const SweepOptions& options,
                      const SweepWatcher& watcher) {
  const SweepOptions checked = Checked(model, options);
  return Sweep(model, checked, watcher).Run();
}

std::string SweepTable(const std::string& folder, std::string_view format) {
  const TableFormat table = ParseTableFormat(format);
  return FormatTable(Ordered(ReadRecords(folder + "/results.jsonl"), ReadConfig(folder)), table);
}

std::vector<std::string> SweepTaskNames() {
  std::vector<std::string> names = {"nll", "speed"};
  for (const std::string_view name : TaskNames()) names.emplace_back(name);
  return names;
}

}  // namespace spark
