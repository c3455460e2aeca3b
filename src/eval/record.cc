#include "eval/record.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "spark/error.h"

namespace spark {

std::vector<Record> ReadRecords(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", {.file = path});
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<Record> records;
  size_t line = 1;
  for (size_t begin = 0;; ++line) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return records;
    Record record = Record::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    const bool fine = record.is_object() && record.contains("point") &&
                      record["point"].is_string() && record.contains("status") &&
                      record["status"].is_string();
    if (!fine) {
      throw Error("not a record of a sweep", {.file = path, .field = fmt::format("line {}", line)});
    }
    records.push_back(std::move(record));
    begin = end + 1;
  }
}

std::optional<double> Number(const Record& object, std::string_view key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

}  // namespace spark
