// Runs spark-sweep on the embedded model, and reads what it leaves.
#ifndef TESTS_SUPPORT_SPARK_SWEEP_H_
#define TESTS_SUPPORT_SPARK_SWEEP_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/subprocess.h"

namespace spark::test {

using Json = nlohmann::ordered_json;

// The program's path.
std::string SparkSweepPath();

// The same arguments, for the SIMD target that the tests are pinned to, if they are.
std::vector<std::string> OnPinnedTarget(std::vector<std::string> args);

ProcessResult SparkSweep(const std::vector<std::string>& args, const ProcessOptions& options = {});

// Arguments of a sweep of a second or less: 5 plans × nll and needle × 2 contexts, one thread.
// `dir` is for the text.
std::vector<std::string> SmallSweep(const std::string& text, const std::string& out);

// A text of some thousand tokens.
std::string SweepText();

// The lines of a results.jsonl. Every one has to be whole.
std::vector<Json> Lines(const std::string& folder);

// By point, without what depends on time, as text: equal for equal measurements.
std::string QualityTable(const std::vector<Json>& records);

}  // namespace spark::test

#endif  // TESTS_SUPPORT_SPARK_SWEEP_H_
