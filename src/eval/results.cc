#include "eval/results.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/durable_file.h"
#include "eval/report.h"
#include "eval/table.h"
#include "spark/error.h"

namespace spark {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLines = "results.jsonl";
constexpr const char* kConfig = "config.json";

[[noreturn]] void FailWith(int error, const std::string& path, const std::string& what) {
  throw Error(fmt::format("{}: {}", what, std::generic_category().message(error)), {.file = path});
}

// Names and texts come from files and need not be UTF-8.
std::string Dump(const nlohmann::ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", {.file = path});
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

nlohmann::ordered_json ReadConfig(const std::string& folder) {
  const std::string path = (fs::path(folder) / kConfig).string();
  nlohmann::ordered_json config = nlohmann::ordered_json::parse(ReadWhole(path), nullptr, false);
  if (!config.is_object()) throw Error("not the settings of a sweep", {.file = path});
  return config;
}

ResultsFolder::ResultsFolder(const std::string& folder) : folder_(folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) FailWith(error.value(), folder, "cannot be made");
  lines_.emplace(Path(kLines), Error("another sweep writes here", {.file = folder}));
  Repair();
  records_ = ReadRecords(Path(kLines));
}

std::string ResultsFolder::Path(std::string_view name) const {
  return (fs::path(folder_) / name).string();
}

void ResultsFolder::Repair() {
  const std::string text = ReadWhole(Path(kLines));
  const size_t whole = text.empty() ? 0 : text.rfind('\n') + 1;  // npos + 1 is 0
  if (whole != text.size()) lines_->CutTo(whole);
}

void ResultsFolder::SetConfig(const nlohmann::ordered_json& config) {
  config_ = config;
  if (fs::exists(Path(kConfig))) {
    const nlohmann::ordered_json before = ReadConfig(folder_);
    config_ = JoinConfigs(before, config, folder_);
    if (config_ == before) return;
  }
  ReplaceFile(Path(kConfig), Dump(config_, 2) + "\n");
}

void ResultsFolder::Append(const Record& record) {
  lines_->Append(Dump(record) + "\n");
  records_.push_back(record);
}

void ResultsFolder::WriteTables() const {
  const std::vector<Record> records = Ordered(records_, config_);
  ReplaceFile(Path("results.csv"), FormatTable(records, TableFormat::kCsv));
  WriteReport(Path("report.html"), records, config_);
}

}  // namespace spark
