#include "tests/support/spark_sweep.h"

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <sstream>

#include "tests/support/pinned_target.h"
#include "tests/support/temp_dir.h"

namespace spark::test {

std::string SparkSweepPath() {
#ifdef SPARK_SWEEP
  return SPARK_SWEEP;
#else
  return "spark-sweep is not part of this build";
#endif
}

std::vector<std::string> OnPinnedTarget(std::vector<std::string> args) {
  const bool measures = args.empty() || args.front() != "merge";
  if (const std::string target = PinnedTarget(); measures && !target.empty()) {
    args.insert(args.begin(), {"--simd-target", target});
  }
  return args;
}

ProcessResult SparkSweep(const std::vector<std::string>& args, const ProcessOptions& options) {
  return RunProcess(SparkSweepPath(), OnPinnedTarget(args), options);
}

std::vector<std::string> SmallSweep(const std::string& text, const std::string& out) {
  return {"--kv",
          "spark:0.5-0.9+0.2,snapkv:0.5",
          "--task",
          "nll,needle",
          "--context",
          "96,128",
          "--samples",
          "2",
          "--text",
          text,
          "--continuation",
          "32",
          "-t",
          "1",
          "-o",
          out};
}

std::string SweepText() {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += "The lamp number " + std::to_string(i * i) +
            " stood on the table, and the cat slept under the chair.\n";
  }
  return text;
}

std::vector<Json> Lines(const std::string& folder) {
  const std::string text = ReadText(folder + "/results.jsonl");
  CHECK((text.empty() || text.back() == '\n'));
  std::vector<Json> records;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) records.push_back(Json::parse(line));
  return records;
}

std::string QualityTable(const std::vector<Json>& records) {
  std::map<std::string, std::string> table;
  for (Json record : records) {
    for (const char* key : {"prefill_tokens_per_second", "compress_seconds",
                            "decode_tokens_per_second", "peak_rss_bytes", "seconds", "started"}) {
      record.erase(key);
    }
    table[record["point"]] += record.dump() + "\n";
  }
  std::string text;
  for (const auto& [point, lines] : table) text += lines;
  return text;
}

}  // namespace spark::test
