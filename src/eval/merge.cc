// Several results folders into one.
#include <algorithm>
#include <map>

#include "eval/results.h"
#include "spark/error.h"

namespace spark {

SweepSummary MergeSweeps(std::span<const std::string> folders, const std::string& out) {
  if (folders.empty()) throw UsageError("no folder to merge");
  nlohmann::ordered_json config;
  std::vector<Record> records;
  for (const std::string& folder : folders) {
    nlohmann::ordered_json own = ReadConfig(folder);
    own.erase("shard");
    config = config.is_null() ? own : JoinConfigs(config, own, folder);
    for (Record& record : ReadRecords(folder + "/results.jsonl")) {
      records.push_back(std::move(record));
    }
  }
  // A point that failed in one folder and not in another has been measured.
  std::stable_partition(records.begin(), records.end(),
                        [](const Record& r) { return r["status"] != "ok"; });

  SweepSummary summary;
  ResultsFolder results(out);
  results.SetConfig(config);
  std::map<std::string, std::string> there;  // point → status
  for (const Record& record : results.records()) {
    there[record["point"].get<std::string>()] = record["status"].get<std::string>();
  }
  for (const Record& record : Ordered(records, config)) {
    const auto before = there.find(record["point"].get<std::string>());
    if (before != there.end() && (before->second == "ok" || record["status"] != "ok")) {
      ++summary.skipped;
      continue;
    }
    results.Append(record);
    ++(record["status"] == "ok" ? summary.ok : summary.failed);
  }
  results.WriteTables();
  return summary;
}

}  // namespace spark
