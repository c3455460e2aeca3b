#include "eval/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "eval/table_cell.h"
#include "eval/table_markdown.h"
#include "spark/error.h"

namespace spark {
namespace {

using Cells = std::vector<std::pair<std::string, std::string>>;  // column, text

// What an element of an array is called: its depth if it has one, else its index.
std::string ElementName(const Record& element, size_t index) {
  if (element.is_object()) {
    const auto depth = element.find("depth");
    if (depth != element.end() && depth->is_number())
      return fmt::format("{}", depth->get<double>());
  }
  return fmt::format("{}", index);
}

void Flatten(const std::string& column, const Record& value, Cells& cells) {
  if (column == "kept.channels" || value.is_null()) return;  // layers × channels: not for a table
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items())
      Flatten(fmt::format("{}.{}", column, key), inner, cells);
  } else if (value.is_array()) {
    size_t i = 0;
    for (const Record& element : value) {
      Flatten(fmt::format("{}.{}", column, ElementName(element, i++)), element, cells);
    }
  } else {
    cells.emplace_back(column, CellText(value));
  }
}

// RFC 4180: quoted where it has to be, quotes doubled.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') out += c;
  }
  return out + '"';
}

// One row: a cell for each of `header`, commas between.
template <typename CellOf>
void AppendRow(size_t n_columns, const CellOf& cell_of, std::string& out) {
  for (size_t i = 0; i < n_columns; ++i) {
    if (i != 0) out += ',';
    out += CsvField(cell_of(i));
  }
  out += '\n';
}

// Columns of the same key stay together, keys in the order of the records.
class CsvTable {
 public:
  explicit CsvTable(std::span<const Record> records) {
    for (const Record& record : records) AddRow(record);
    for (Key& key : keys_) {
      // A key that is null everywhere keeps a column of its own: readers can count on it.
      if (key.columns.empty()) key.columns.push_back(key.name);
      std::ranges::copy(key.columns, std::back_inserter(header_));
    }
  }

  std::string Text() const {
    std::string out;
    AppendRow(
        header_.size(), [&](size_t i) { return header_[i]; }, out);
    for (const auto& row : rows_) {
      const auto cell = [&](size_t i) {
        const auto found = row.find(header_[i]);
        return found == row.end() ? std::string() : found->second;
      };
      AppendRow(header_.size(), cell, out);
    }
    return out;
  }

 private:
  struct Key {
    std::string name;
    std::vector<std::string> columns;
  };

  void AddRow(const Record& record) {
    auto& row = rows_.emplace_back();
    for (const auto& [name, value] : record.items()) {
      const auto [place, is_new] = key_index_.try_emplace(name, keys_.size());
      if (is_new) keys_.push_back({name, {}});
      Cells cells;
      Flatten(name, value, cells);
      for (auto& [column, text] : cells) {
        if (known_.try_emplace(column, true).second) {
          keys_[place->second].columns.push_back(column);
        }
        row[column] = std::move(text);
      }
    }
  }

  std::vector<Key> keys_;
  std::unordered_map<std::string, size_t> key_index_;
  std::unordered_map<std::string, bool> known_;
  std::vector<std::string> header_;
  std::vector<std::unordered_map<std::string, std::string>> rows_;
};

std::string Lines(std::span<const Record> records, std::string_view between) {
  std::string out;
  for (const Record& record : records) {
    if (!out.empty()) out += between;
    out += DumpJson(record);
  }
  return out;
}

}  // namespace

TableFormat ParseTableFormat(std::string_view name) {
  if (name == "md") return TableFormat::kMarkdown;
  if (name == "csv") return TableFormat::kCsv;
  if (name == "jsonl") return TableFormat::kJsonl;
  if (name == "json") return TableFormat::kJson;
  throw UsageError("unknown format of a table", ErrorContext{.field = "--format",
                                                             .found = std::string(name),
                                                             .allowed = "md, csv, jsonl, json"});
}

std::string FormatTable(std::span<const Record> records, TableFormat format) {
  switch (format) {
    case TableFormat::kMarkdown:
      return MarkdownTable(records);
    case TableFormat::kCsv:
      return CsvTable(records).Text();
    case TableFormat::kJsonl:
      return records.empty() ? "" : Lines(records, "\n") + "\n";
    case TableFormat::kJson:
      return records.empty() ? "[]\n" : "[\n" + Lines(records, ",\n") + "\n]\n";
  }
  throw Error("unknown format of a table");
}

}  // namespace spark
