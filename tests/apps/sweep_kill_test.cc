// Sweeps that are killed, interrupted or run out of disk.
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <random>
#include <set>

#include "tests/support/sanitized.h"
#include "tests/support/spark_sweep.h"
#include "tests/support/temp_dir.h"

namespace spark::test {
namespace sweep_kill_test {

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Every point once.
void CheckNoneTwice(const std::vector<Json>& records) {
  std::set<std::string> points;
  for (const Json& record : records) points.insert(record["point"].get<std::string>());
  CHECK(points.size() == records.size());
}

// Under the sanitizers a program starts slowly.
constexpr size_t kMoments = testing::kSanitized ? 4 : 10;

TEST_CASE("a sweep killed at any moment and resumed is one never killed", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", SweepText());
  // With as many samples as make it last.
  std::string whole;
  std::vector<std::string> args;
  std::chrono::milliseconds took{};
  for (const std::string samples : {"2", "20"}) {
    whole = dir / ("whole" + samples);
    args = SmallSweep(text, whole);
    args[7] = samples;
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(SparkSweep(args).exit_code == 0);
    took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start);
    if (took.count() >= 500) break;
  }
  const std::string expected = QualityTable(Lines(whole));

  std::mt19937 random(std::random_device{}());
  const std::string killed = dir / "killed";
  args.back() = killed;
  size_t died = 0;
  size_t lines = 0;
  for (size_t i = 0; i < kMoments; ++i) {
    ProcessOptions options;
    options.signal = SIGKILL;
    // Early enough that most runs are killed, and late enough that some of them end points.
    options.signal_after_ms =
        static_cast<int>(random() % (static_cast<unsigned>(took.count()) / 3 + 1));
    CAPTURE(options.signal_after_ms);
    died += SparkSweep(args, options).exit_code == 128 + SIGKILL;
    // A torn line is possible; whole ones stay.
    const std::string left = ReadText(killed + "/results.jsonl");
    const auto now = static_cast<size_t>(std::count(left.begin(), left.end(), '\n'));
    CHECK(now >= lines);
    lines = now;
  }
  CHECK(died > kMoments / 4);
  REQUIRE(SparkSweep(args).exit_code == 0);
  const std::vector<Json> records = Lines(killed);
  CheckNoneTwice(records);
  CHECK(QualityTable(records) == expected);
  // And with the file cut off anywhere.
  const std::string text_of = ReadText(killed + "/results.jsonl");
  for (int i = 0; i < 4; ++i) {
    dir.Write("killed/results.jsonl", text_of.substr(0, random() % text_of.size()));
    REQUIRE(SparkSweep(args).exit_code == 0);
    CheckNoneTwice(Lines(killed));
    CHECK(QualityTable(Lines(killed)) == expected);
  }
}

TEST_CASE("ctrl-C keeps what has ended", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", SweepText());
  const std::string out = dir / "out";
  std::vector<std::string> args = SmallSweep(text, out);
  args[5] = "96,128,160,192,224,256,288,320,352,384";
  args[7] = "40";
  ProcessOptions options;
  options.signal = SIGINT;
  options.signal_after_ms = 1500;  // of ten seconds or more
  const ProcessResult run = SparkSweep(args, options);
  INFO(run.err);
  CHECK(run.exit_code == 130);
  CHECK(Contains(run.err, "interrupted"));
  CheckNoneTwice(Lines(out));
  CHECK_FALSE(ReadText(out + "/report.html").empty());
}

TEST_CASE("a full disk ends a sweep with an error and keeps its lines", "[sweep]") {
  const TempDir dir;
  const std::string text = dir.Write("text", SweepText());
  const std::string whole = dir / "whole";
  REQUIRE(SparkSweep(SmallSweep(text, whole)).exit_code == 0);
  const std::string out = dir / "out";
  // Files of at most so many blocks of 512 or 1024 bytes: writing beyond fails, as it does when the
  // disk is full. About a third of the lines fit.
  const size_t kilobytes = ReadText(whole + "/results.jsonl").size() / 3 / 1024 + 1;
  std::string command =
      "trap '' XFSZ; ulimit -f " + std::to_string(kilobytes) + "; exec \"$0\" \"$@\"";
  std::vector<std::string> args = {"-c", command, SparkSweepPath()};
  for (const std::string& arg : OnPinnedTarget(SmallSweep(text, out))) args.push_back(arg);
  const ProcessResult run = RunProcess("/bin/sh", args);
  INFO(run.err);
  CHECK(run.exit_code == 1);
  CHECK(Contains(run.err, "results.jsonl: cannot be written"));
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  const std::vector<Json> left = Lines(out);  // whole lines all
  CHECK_FALSE(left.empty());
  CHECK(left.size() < Lines(whole).size());
  REQUIRE(SparkSweep(SmallSweep(text, out)).exit_code == 0);
  CheckNoneTwice(Lines(out));
  CHECK(QualityTable(Lines(out)) == QualityTable(Lines(whole)));
}

}  // namespace sweep_kill_test
}  // namespace spark::test
