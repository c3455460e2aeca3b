// Runs spark-generate and reads what it writes.
#ifndef TESTS_SUPPORT_SPARK_GENERATE_H_
#define TESTS_SUPPORT_SPARK_GENERATE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/subprocess.h"

namespace spark::test {

// With one thread (a busy machine slows several down out of all proportion) and `--stats none`,
// unless `args` say otherwise.
ProcessResult SparkGenerate(const std::vector<std::string>& args,
                            const ProcessOptions& options = {});

// The result of `--stats json`: the last line on stderr.
nlohmann::ordered_json StatsOf(const ProcessResult& result);

// Whether stderr is one line that begins with the program's name.
bool IsOneLine(const std::string& err);

// A folder of tests/data/models.
std::string TinyModel(const std::string& name);

}  // namespace spark::test

#endif  // TESTS_SUPPORT_SPARK_GENERATE_H_
