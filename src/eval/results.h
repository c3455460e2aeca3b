// The folder of a sweep: its settings, and a line for every point that has ended.
#ifndef SPARK_EVAL_RESULTS_H_
#define SPARK_EVAL_RESULTS_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/durable_file.h"
#include "eval/record.h"
#include "spark/sweep.h"

namespace spark {

// config.json: settings that all points share, and lists ("kv", "context", …) that a further run
// may add to.
nlohmann::ordered_json MakeConfig(const Model& model, const SweepOptions& options);

// `now` with what the lists of `before` had. Throws Error, naming the setting, if the two differ in
// one; `folder` is for the message.
nlohmann::ordered_json JoinConfigs(const nlohmann::ordered_json& before,
                                   const nlohmann::ordered_json& now, const std::string& folder);

// The last record of every point, in the order of the lists in `config`: whichever way points were
// measured, the table is the same.
std::vector<Record> Ordered(std::span<const Record> records, const nlohmann::ordered_json& config);

class ResultsFolder {
 public:
  // Makes the folder if need be, and locks it against other sweeps. A last line that was torn when
  // a run was killed is cut off. Throws Error.
  explicit ResultsFolder(const std::string& folder);

  // Joins `config` with the one that is there and writes it. Throws Error if settings differ.
  void SetConfig(const nlohmann::ordered_json& config);

  // One write and one fsync: the line is there when this returns. Throws Error, with the lines
  // before as they were.
  void Append(const Record& record);

  // results.csv and report.html of all records.
  void WriteTables() const;

  const std::vector<Record>& records() const { return records_; }

 private:
  std::string Path(std::string_view name) const;
  void Repair();

  std::string folder_;
  std::optional<AppendedFile> lines_;  // results.jsonl
  nlohmann::ordered_json config_;
  std::vector<Record> records_;
};

// config.json of a folder. Throws Error.
nlohmann::ordered_json ReadConfig(const std::string& folder);

}  // namespace spark

#endif  // SPARK_EVAL_RESULTS_H_
