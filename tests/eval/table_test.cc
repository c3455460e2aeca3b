#include "eval/table.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "spark/error.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/support/expect_error.h"

namespace spark {
namespace table_test {

using Catch::Matchers::ContainsSubstring;

// A reader of RFC 4180, written without looking at the writer.
std::vector<std::vector<std::string>> ReadCsv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1);
  std::string cell;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      cell += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || c == '\n')) {
      rows.back().push_back(cell);
      cell.clear();
      if (c == '\n') rows.emplace_back();
    } else {
      cell += c;
    }
  }
  CHECK_FALSE(quoted);
  CHECK(rows.back().empty());
  rows.pop_back();
  return rows;
}

std::map<std::string, std::string> Row(const std::string& csv, size_t row) {
  const auto rows = ReadCsv(csv);
  REQUIRE(row + 1 < rows.size());
  REQUIRE(rows[row + 1].size() == rows[0].size());
  std::map<std::string, std::string> cells;
  for (size_t i = 0; i < rows[0].size(); ++i) cells[rows[0][i]] = rows[row + 1][i];
  CHECK(cells.size() == rows[0].size());  // no column twice
  return cells;
}

TEST_CASE("Formats of tables have names", "[eval][table]") {
  CHECK(ParseTableFormat("md") == TableFormat::kMarkdown);
  CHECK(ParseTableFormat("csv") == TableFormat::kCsv);
  CHECK(ParseTableFormat("jsonl") == TableFormat::kJsonl);
  CHECK(ParseTableFormat("json") == TableFormat::kJson);
  for (const char* name : {"", "CSV", "markdown", "xml"}) {
    CHECK_THROWS_AS(ParseTableFormat(name), UsageError);
  }
  CHECK_THROWS_WITH(ParseTableFormat("xml"), ContainsSubstring("md, csv, jsonl, json"));
}

TEST_CASE("CSV: figures inside a record have columns of their own", "[eval][table]") {
  Record record = test::Point("spark:0.8", "needle", 0.1, 0.67);
  record["kv_bytes"] = {{"key_values", 12}, {"total", 34}};
  record["by_depth"] = {{{"depth", 0.0}, {"score", 1}}, {{"depth", 0.25}, {"score", 0.5}}};
  record["kept"] = {{"layers", {0.2, 0.3}}, {"channels", {{0.1, 0.2}}}};
  record["speed"] = {{{"depth", 4096}, {"decode_tokens_per_second", 12.5}}};
  const auto row = Row(FormatTable(std::vector{record}, TableFormat::kCsv), 0);
  CHECK(row.at("kv") == "spark:0.8");
  CHECK(row.at("score") == "0.1");
  CHECK(row.at("context") == "1024");
  CHECK(row.at("error").empty());
  CHECK(row.at("kv_bytes.total") == "34");
  CHECK(row.at("by_depth.0.score") == "1");
  CHECK(row.at("by_depth.0.25.score") == "0.5");
  CHECK(row.at("kept.layers.1") == "0.3");
  CHECK(row.at("speed.4096.decode_tokens_per_second") == "12.5");
  for (const auto& [column, cell] : row) CHECK(column.find("channels") == std::string::npos);
}

TEST_CASE("CSV: what is null in one record and an object in another", "[eval][table]") {
  Record without = test::Point("a", "nll", 1, 1);
  without["kv_bytes"] = nullptr;
  without["seconds"] = 2;
  Record with = test::Point("b", "nll", 1, 1);
  with["kv_bytes"] = {{"total", 34}};
  with["seconds"] = 3;
  const std::string csv = FormatTable(std::vector{without, with}, TableFormat::kCsv);
  CHECK(Row(csv, 0).at("kv_bytes.total").empty());
  CHECK(Row(csv, 1).at("kv_bytes.total") == "34");
  CHECK_FALSE(Row(csv, 0).contains("kv_bytes"));
  // In the order of the record's keys, not of when a column was first filled.
  CHECK(csv.find("kv_bytes.total,seconds") != std::string::npos);
}

TEST_CASE("CSV: quoting", "[eval][table]") {
  Record record = test::Point("spark:0.8[window=32,seed=1]", "jsonl:my \"data\".jsonl", 1, 1);
  record["error"] = "line\nbreak, comma\r\n\"quotes\"";
  record["model"] = "caf\u00e9";
  const std::string csv = FormatTable(std::vector{record}, TableFormat::kCsv);
  CHECK_THAT(csv, ContainsSubstring("\"spark:0.8[window=32,seed=1]\""));
  CHECK_THAT(csv, ContainsSubstring("\"jsonl:my \"\"data\"\".jsonl\""));
  CHECK(Row(csv, 0).at("error") == "line\nbreak, comma\r\n\"quotes\"");
  CHECK(Row(csv, 0).at("model") == "caf\u00e9");
}

TEST_CASE("CSV: every figure of the fixture is read back", "[eval][table]") {
  const std::vector<Record> records = test::FixtureRecords();
  const auto rows = ReadCsv(FormatTable(records, TableFormat::kCsv));
  REQUIRE(rows.size() == records.size() + 1);
  size_t figures = 0;
  for (size_t column = 0; column < rows[0].size(); ++column) {
    for (size_t i = 0; i < records.size(); ++i) {
      const auto found = records[i].find(rows[0][column]);
      if (found == records[i].end() || !found->is_number()) continue;
      CHECK(std::stod(rows[i + 1][column]) == found->get<double>());
      ++figures;
    }
  }
  CHECK(figures > 2000);
}

TEST_CASE("JSON and JSON lines hold the records as they are", "[eval][table]") {
  std::vector<Record> records = test::FixtureRecords();
  CHECK(Record::parse(FormatTable(records, TableFormat::kJson)) == Record(records));
  std::istringstream lines(FormatTable(records, TableFormat::kJsonl));
  size_t i = 0;
  for (std::string line; std::getline(lines, line); ++i)
    CHECK(Record::parse(line) == records.at(i));
  CHECK(i == records.size());
  CHECK(FormatTable({}, TableFormat::kJsonl).empty());
  CHECK(FormatTable({}, TableFormat::kJson) == "[]\n");
}

TEST_CASE("Texts that are not UTF-8 are replaced in every format", "[eval][table]") {
  Record record = test::Point("spark:0.8", "needle", 0.9, 0.5);
  record["error"] = "a\xff|b";
  const std::vector<Record> records = {record};
  for (const TableFormat format :
       {TableFormat::kMarkdown, TableFormat::kCsv, TableFormat::kJsonl, TableFormat::kJson}) {
    const std::string text = FormatTable(records, format);
    CHECK(text.find('\xff') == text.npos);
    CHECK_THAT(text, ContainsSubstring("a\xef\xbf\xbd"));
  }
}

TEST_CASE("Markdown: columns that someone fills, aligned", "[eval][table]") {
  Record nll = test::NllPoint("spark:0.8", 0.0113, 0.674);
  nll["kl"] = 0.0375;
  nll["kv_bytes_per_token"] = 15494.4;
  const std::string table =
      FormatTable(std::vector{nll, test::NllPoint("none", 0, 1)}, TableFormat::kMarkdown);
  CHECK(table ==
        "| plan        | keys | values | context | task | threads |      perplexity |     KL | "
        "bytes/token | of f16 |\n"
        "|-------------|------|--------|--------:|------|--------:|----------------:|-------:|"
        "------------:|-------:|\n"
        "| `spark:0.8` | f16  | f16    |    1024 | nll  |       2 | 10.113 (+1.1 %) | 0.0375 | "
        "      15494 |  0.674 |\n"
        "| `none`      | f16  | f16    |    1024 | nll  |       2 | 10.000 (+0.0 %) |        | "
        "            |  1.000 |\n");
}

TEST_CASE("Markdown: speeds, scores, and texts that would break a row", "[eval][table]") {
  Record record = test::Point("a|b\nc", "needle", 0.9, 0.5);
  record["score_low"] = 0.81;
  record["score_high"] = 0.96;
  record["speed"] = {{{"depth", 1024}, {"decode_tokens_per_second", 75.12}},
                     {{"depth", 4096}, {"decode_tokens_per_second", 62}}};
  const std::string table = FormatTable(std::vector{record}, TableFormat::kMarkdown);
  CHECK_THAT(table, ContainsSubstring("`a\\|b c`"));
  CHECK_THAT(table, ContainsSubstring("0.900 (0.81 to 0.96)"));
  CHECK_THAT(table, ContainsSubstring("1024: 75.1, 4096: 62.0"));
  CHECK(FormatTable({}, TableFormat::kMarkdown).starts_with("| plan"));
}

}  // namespace table_test
}  // namespace spark
