// spark-sweep from flags to files.
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <filesystem>
#include <set>

#include "apps/sweep_lists.h"
#include "apps/sweep_progress.h"
#include "spark/error.h"
#include "tests/support/spark_sweep.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace sweep_run_test {

using Args = std::vector<std::string>;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Args With(Args args, const Args& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

constexpr size_t kPoints = 5 * 2 * 2;

std::set<std::string> Files(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

TEST_CASE("a sweep leaves its files, and its table on stdout", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", SweepText());
  const std::string out = dir / "out";
  const ProcessResult run = SparkSweep(With(SmallSweep(text, out), {"--format", "jsonl"}));
  INFO(run.err);
  REQUIRE(run.exit_code == 0);
  CHECK(Files(out) ==
        std::set<std::string>{"config.json", "report.html", "results.csv", "results.jsonl"});
  const std::vector<Json> records = Lines(out);
  CHECK(records.size() == kPoints);
  for (const Json& record : records) CHECK(record["status"] == "ok");
  CHECK(std::count(run.out.begin(), run.out.end(), '\n') == kPoints);
  CHECK(Contains(run.err, "20 points measured, 0 failed, 0 were there"));

  // Again: nothing is measured, nothing changes.
  const std::string before = ReadText(out + "/results.jsonl");
  const ProcessResult again = SparkSweep(SmallSweep(text, out));
  CHECK(again.exit_code == 0);
  CHECK(again.out.empty());
  CHECK(Contains(again.err, "0 points measured, 0 failed, 20 were there"));
  CHECK(ReadText(out + "/results.jsonl") == before);

  // A longer list adds points; other settings are refused, in one line.
  Args more = SmallSweep(text, out);
  more[1] += ",think:0.5";
  CHECK(Contains(SparkSweep(more).err, "4 points measured, 0 failed, 20 were there"));
  const ProcessResult other = SparkSweep(With(SmallSweep(text, out), {"--seed", "5"}));
  CHECK(other.exit_code == 1);
  CHECK(Contains(other.err, "seed"));
  CHECK(std::count(other.err.begin(), other.err.end(), '\n') == 1);
  CHECK(Lines(out).size() == kPoints + 4);
}

TEST_CASE("flags that cannot be meant end in one line and code 2", "[sweep]") {
  const TempDir dir;
  const std::string out = dir / "out";
  const Args base = {"--kv", "spark:0.5", "--task", "needle", "-o", out};
  const auto refused = [&](const Args& args, const std::string& part) {
    const ProcessResult run = SparkSweep(args);
    CAPTURE(args, run.err);
    CHECK(run.exit_code == 2);
    CHECK(run.out.empty());
    CHECK(run.err.starts_with("spark-sweep: "));
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    CHECK(Contains(run.err, part));
    CHECK_FALSE(std::filesystem::exists(out));
  };
  refused({}, "-o");
  refused({"-o", out}, "--kv");
  refused({"--kv", "spark:0.5", "-o", out}, "--task");
  refused({"--kv", "spark:0.5", "--task", "needle"}, "-o");
  refused(With(base, {"--kv", "spark:2"}), "--kv");
  refused(With(base, {"--kv", "spark:0.1-0.9"}), "first-last+step");
  refused(With(base, {"--task", "nosuch"}), "nosuch");
  // The model inside has stories to be scored on; others need a text.
  refused(With(base, {"-m", SPARK_TEST_DATA "/models/llama", "--task", "nll", "--context", "64"}),
          "--text");
  refused(With(base, {"--context", "1"}), "--context");
  refused(With(base, {"--context", "12x"}), "--context");
  refused(With(base, {"--context", "128,,256"}), "--context");
  refused(With(base, {"--context", "128-256"}), "--context");
  refused(With(base, {"--depth", "0"}), "--depth");
  refused(With(base, {"-t", "0"}), "--threads");
  refused(With(base, {"-ctk", "f16,f8"}), "--cache-type-k");
  refused(With(base, {"--samples", "0"}), "--samples");
  refused(With(base, {"--samples", "nan"}), "--samples");
  refused(With(base, {"--shard", "3/2"}), "--shard");
  refused(With(base, {"--shard", "0/2"}), "--shard");
  refused(With(base, {"--shard", "1"}), "--shard");
  refused(With(base, {"--format", "xml"}), "--format");
  refused(With(base, {"--device", "-1"}), "--device");
  refused(With(base, {"--nosuch"}), "--nosuch");
  refused({"merge", "-o", out}, "merge");
}

TEST_CASE("help names every flag and task", "[sweep]") {
  const ProcessResult help = SparkSweep({"--help"});
  CHECK(help.exit_code == 0);
  for (const char* word : {"--kv", "--task", "--context", "--cache-type-k", "--threads", "--text",
                           "--continuation", "--samples", "--seed", "--depth", "--query-aware",
                           "--shard", "--format", "merge", "needle", "multikey", "nll", "speed"}) {
    CAPTURE(word);
    CHECK(Contains(help.out, word));
  }
  CHECK(Contains(SparkSweep({"--version"}).out, "spark-sweep "));
  CHECK(Contains(SparkSweep({"--list-tasks"}).out, "needle\n"));
  CHECK(Contains(SparkSweep({"--list-kv-methods"}).out, "spark"));
}

TEST_CASE("what fails is recorded, the rest measured, and the code is 1", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", "Too short.");
  const std::string out = dir / "out";
  const ProcessResult run = SparkSweep(SmallSweep(text, out));
  CHECK(run.exit_code == 1);
  CHECK(Contains(run.err, "10 points measured, 10 failed"));
  size_t failed = 0;
  for (const Json& record : Lines(out)) {
    if (record["status"] == "ok") continue;
    ++failed;
    CHECK(record["task"] == "nll");
    CHECK(Contains(record["error"].get<std::string>(), "too short"));
  }
  CHECK(failed == 10);
  CHECK(SparkSweep(With(SmallSweep(dir / "none", dir / "new"), {})).exit_code == 1);
}

TEST_CASE("shards that are merged are one run", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", SweepText());
  const std::string whole = dir / "whole";
  REQUIRE(SparkSweep(SmallSweep(text, whole)).exit_code == 0);
  Args folders = {"merge"};
  size_t lines = 0;
  for (const std::string shard : {"1", "2", "3"}) {
    const std::string out = dir / ("part" + shard);
    REQUIRE(SparkSweep(With(SmallSweep(text, out), {"--shard", shard + "/3"})).exit_code == 0);
    folders.push_back(out);
    CHECK(Lines(out).size() < kPoints);
    lines += Lines(out).size();
  }
  CHECK(lines == kPoints);
  const std::string merged = dir / "merged";
  const ProcessResult run = SparkSweep(With(folders, {"-o", merged, "--format", "jsonl"}));
  INFO(run.err);
  CHECK(run.exit_code == 0);
  CHECK(QualityTable(Lines(merged)) == QualityTable(Lines(whole)));
  CHECK(Files(merged) == Files(whole));
  const auto config = [](const std::string& folder) {
    return Json::parse(ReadText(folder + "/config.json"));
  };
  CHECK(config(merged) == config(whole));
  // Again, with a folder twice: nothing is added.
  folders.push_back(folders.back());
  CHECK(SparkSweep(With(folders, {"-o", merged})).exit_code == 0);
  CHECK(Lines(merged).size() == kPoints);
  // The points of a merged folder are known to a run.
  CHECK(Contains(SparkSweep(SmallSweep(text, merged)).err, "20 were there"));
  // Other settings do not mix.
  REQUIRE(SparkSweep(With(SmallSweep(text, dir / "other"), {"--seed", "4"})).exit_code == 0);
  const ProcessResult mixed = SparkSweep({"merge", whole, dir / "other", "-o", dir / "mix"});
  CHECK(mixed.exit_code == 1);
  CHECK(Contains(mixed.err, "seed"));
  CHECK(SparkSweep({"merge", dir / "nothing", "-o", dir / "mix"}).exit_code == 1);
}

TEST_CASE("lists of numbers have ranges", "[sweep]") {
  using Numbers = std::vector<size_t>;
  CHECK(ParseNumbers("-x", "1,5-9+2,7", 1, 100) == Numbers{1, 5, 7, 9});
  CHECK(ParseNumbers("-x", "100", 1, 100) == Numbers{100});
  for (const std::string list : {"", "0", "101", "5-", "5-9", "5-9+0", "9-5+1", "1 ", "-1",
                                 "1-5+1x", "99999999999999999999"}) {
    CAPTURE(list);
    CHECK_THROWS_AS(ParseNumbers("-x", list, 1, 100), UsageError);
  }
  CHECK_THROWS_AS(ParseNumbers("-x", "1-18446744073709551615+1", 1, SIZE_MAX), UsageError);
}

TEST_CASE("the progress line tells what is left", "[sweep]") {
  CHECK(SweepLine(
            {.points = 8, .points_done = 2, .share = 0.25, .seconds_left = 200, .doing = "x"}) ==
        "2/8 points  [#####...............]  25 %  about 3 min left  x");
  CHECK(SweepLine({.points = 8, .points_done = 0, .share = 0, .seconds_left = 0, .doing = "x"}) ==
        "0/8 points  [....................]   0 %  x");
  CHECK(RoughTime(45) == "45 s");
  CHECK(RoughTime(9000) == "2.5 h");
}

}  // namespace sweep_run_test
}  // namespace spark::test
