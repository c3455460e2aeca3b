#include "tests/support/spark_generate.h"

#include <algorithm>

#include "tests/support/pinned_target.h"

namespace spark::test {

ProcessResult SparkGenerate(const std::vector<std::string>& args, const ProcessOptions& options) {
#ifdef SPARK_GENERATE
  std::vector<std::string> all = {"--threads", "1", "--stats", "none"};
  if (const std::string target = PinnedTarget(); !target.empty()) {
    all.insert(all.end(), {"--simd-target", target});
  }
  all.insert(all.end(), args.begin(), args.end());
  return RunProcess(SPARK_GENERATE, all, options);
#else
  return RunProcess("spark-generate is not part of this build", args, options);
#endif
}

nlohmann::ordered_json StatsOf(const ProcessResult& result) {
  const size_t begin = result.err.rfind('{', result.err.rfind("\"kv_bytes\""));
  const size_t line = result.err.rfind('\n', begin);
  return nlohmann::ordered_json::parse(result.err.substr(line == std::string::npos ? 0 : line + 1));
}

bool IsOneLine(const std::string& err) {
  return err.starts_with("spark-generate: ") && err.ends_with('\n') &&
         std::count(err.begin(), err.end(), '\n') == 1;
}

std::string TinyModel(const std::string& name) {
  return std::string(SPARK_TEST_DATA) + "/models/" + name;
}

}  // namespace spark::test
