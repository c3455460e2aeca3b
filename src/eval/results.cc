#include "eval/results.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

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

// 0, or what went wrong.
int WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

}  // namespace

void WriteWhole(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) FailWith(errno, temporary, "cannot be written");
  int error = WriteAll(file, text);
  if (error == 0 && fsync(file) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  unlink(temporary.c_str());
  FailWith(error, path, "cannot be written");
}

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
  const std::string path = Path(kLines);
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) FailWith(errno, path, "cannot be written");
  try {
    if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw Error("another sweep writes here", {.file = folder});
      FailWith(errno, path, "cannot be locked");
    }
    Repair();
    records_ = ReadRecords(path);
  } catch (...) {
    close(file_);
    throw;
  }
}

ResultsFolder::~ResultsFolder() { close(file_); }

std::string ResultsFolder::Path(std::string_view name) const {
  return (fs::path(folder_) / name).string();
}

void ResultsFolder::Repair() {
  const std::string text = ReadWhole(Path(kLines));
  const size_t whole = text.empty() ? 0 : text.rfind('\n') + 1;  // npos + 1 is 0
  if (whole == text.size()) return;
  if (ftruncate(file_, static_cast<off_t>(whole)) != 0) {
    FailWith(errno, Path(kLines), "a torn line cannot be cut off");
  }
}

void ResultsFolder::SetConfig(const nlohmann::ordered_json& config) {
  config_ = config;
  if (fs::exists(Path(kConfig))) {
    const nlohmann::ordered_json before = ReadConfig(folder_);
    config_ = JoinConfigs(before, config, folder_);
    if (config_ == before) return;
  }
  WriteWhole(Path(kConfig), Dump(config_, 2) + "\n");
}

void ResultsFolder::Append(const Record& record) {
  const std::string path = Path(kLines);
  const off_t before = lseek(file_, 0, SEEK_END);
  if (before < 0) FailWith(errno, path, "cannot be written");
  int error = WriteAll(file_, Dump(record) + "\n");
  if (error == 0 && fsync(file_) != 0) error = errno;
  if (error != 0) {
    // Half a line would do no harm, but there is no need to leave one.
    [[maybe_unused]] const int ignored = ftruncate(file_, before);
    FailWith(error, path, "cannot be written");
  }
  records_.push_back(record);
}

void ResultsFolder::WriteTables() const {
  const std::vector<Record> records = Ordered(records_, config_);
  WriteWhole(Path("results.csv"), FormatTable(records, TableFormat::kCsv));
  WriteReport(Path("report.html"), records, config_);
}

}  // namespace spark
