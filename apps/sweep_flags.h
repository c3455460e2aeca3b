// The flags of spark-sweep.
#ifndef APPS_SWEEP_FLAGS_H_
#define APPS_SWEEP_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "spark/model.h"
#include "spark/sweep.h"

namespace spark {

struct SweepFlags {
  SweepOptions sweep;
  ModelOptions model_options;
  bool no_mmap = false;
  std::string simd_target = "auto";
  std::string compute = "auto";
  std::string format;  // of the table on stdout; empty: none

  bool merge = false;  // `spark-sweep merge DIR… -o DIR`
  std::vector<std::string> folders;

  bool version = false;
  bool list_kv_methods = false;
  bool list_tasks = false;
};

// Returns the help text if it was asked for. Throws UsageError.
std::optional<std::string> ParseSweepFlags(int argc, const char* const* argv, SweepFlags& flags);

// "a,b" → {"a", "b"}. Throws UsageError, naming `flag`, for an empty part.
std::vector<std::string> SplitList(const std::string& flag, const std::string& list);

// Whole numbers of at least `least`, as a list with ranges: "1024,2048-8192+2048". Throws
// UsageError.
std::vector<size_t> ParseNumbers(const std::string& flag, const std::string& list, size_t least,
                                 size_t most);

}  // namespace spark

#endif  // APPS_SWEEP_FLAGS_H_
