#include "eval/report.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "eval/table.h"
#include "spark/error.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace report_test {

using Catch::Matchers::ContainsSubstring;

// The JSON of a data block of the page, as a browser finds it: up to the first "</script".
Record Block(const std::string& page, std::string_view id) {
  const std::string start = "<script type=\"application/json\" id=\"" + std::string(id) + "\">";
  const size_t at = page.find(start);
  REQUIRE(at != page.npos);
  const size_t begin = at + start.size();
  return Record::parse(page.substr(begin, page.find("</script", begin) - begin));
}

size_t Count(const std::string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

const nlohmann::ordered_json kConfig = {{"kv", "spark:0.5-0.9+0.2"}, {"seed", 1}};

// Texts that end a script, open a comment, are markup, or are placeholders of the page.
std::vector<Record> Hostile(std::vector<Record> records) {
  for (Record& record : records) {
    record["model"] =
        "</script><script>alert(1)</script><b>bold <b>x</b></b><!--DATA--><!--<script>";
    record["cpu"] = "\xff\xfe & \"quotes\" <!--SCRIPTS-->/*STYLE*/";
    record["version"] = "\u2028\u2029&lt;";
  }
  return records;
}

TEST_CASE("The report holds its data and asks nothing of a network", "[eval][report]") {
  const std::vector<Record> records = test::FixtureRecords();
  const std::string page = MakeReport(records, kConfig);
  CHECK(Block(page, "spark-records") == Record(records));
  CHECK(Block(page, "spark-config") == kConfig);
  CHECK(Block(page, "spark-verdicts").size() == 6);
  CHECK(Block(page, "spark-version")["version"].is_string());
  for (const char* outside : {"src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest"}) {
    INFO(outside);
    CHECK(Count(page, outside) == 0);
  }
  CHECK_THAT(page, ContainsSubstring("default-src 'none'"));
  CHECK_THAT(page, ContainsSubstring("Chart.js v3.9.1"));
}

TEST_CASE("The page carries one picture of channels a plan", "[eval][report]") {
  const auto with_picture = [](size_t context) {
    Record record = test::NllPoint("spark:0.8", 0.01, 0.6, context);
    record["kept"] = {{"layers", {0.2}}, {"channels", {{0.1, 0.3}}}};
    return record;
  };
  Record other = with_picture(512);
  other["cache_type_v"] = "q8_0";
  const Record page = Block(
      MakeReport(std::vector{with_picture(1024), with_picture(4096), with_picture(2048), other},
                 kConfig),
      "spark-records");
  CHECK(page[0]["kept"].is_null());
  CHECK(page[1]["kept"]["channels"][0][1] == 0.3);
  CHECK(page[2]["kept"].is_null());
  CHECK(page[3]["kept"].is_object());
}

TEST_CASE("Texts of records do not become markup", "[eval][report]") {
  const std::vector<Record> records = test::FixtureRecords();
  const std::string plain = MakeReport(records, kConfig);
  const std::string page = MakeReport(Hostile(records), {{"kv", "</script><!--SCRIPTS-->"}});
  for (const char* tag : {"<script", "</script", "<!--", "-->", "<b>"}) {
    INFO(tag);
    CHECK(Count(page, tag) == Count(plain, tag));
  }
  CHECK(Block(page, "spark-records")[0]["model"] == Hostile(records)[0]["model"]);
  CHECK(Block(page, "spark-config")["kv"] == "</script><!--SCRIPTS-->");
}

TEST_CASE("A report is written whole or not at all", "[eval][report]") {
  const test::TempDir dir;
  const std::vector<Record> records = test::FixtureRecords();
  const std::string path = dir.Write("report.html", "old");
  WriteReport(path, records, kConfig);
  CHECK(test::ReadText(path) == MakeReport(records, kConfig));
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  CHECK_THROWS_AS(WriteReport(dir / "missing/report.html", records, kConfig), Error);
  CHECK_THROWS_WITH(WriteReport(dir / "missing/report.html", records, kConfig),
                    ContainsSubstring("missing/report.html: cannot write"));
  std::filesystem::create_directory(dir / "folder");
  CHECK_THROWS_AS(WriteReport(dir / "folder", records, kConfig), Error);
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 2);
}

// Opens a report in Chromium beside tables of `table_records`; screenshots go to
// $SPARK_REPORT_SCREENSHOTS/`name`.
test::ProcessResult Browse(const std::vector<Record>& records,
                           const std::vector<Record>& table_records, const std::string& name) {
  const test::TempDir dir;
  WriteReport(dir / "report.html", records, kConfig);
  dir.Write("results.csv", FormatTable(table_records, TableFormat::kCsv));
  dir.Write("results.jsonl", FormatTable(table_records, TableFormat::kJsonl));
  std::vector<std::string> args = {"python3", SPARK_SOURCE_DIR "/tests/eval/report_browser.py",
                                   dir / "report.html", dir / "results.csv", dir / "results.jsonl"};
  if (const char* folder = std::getenv("SPARK_REPORT_SCREENSHOTS")) {
    args.insert(args.end(), {"--screenshots", std::string(folder) + "/" + name});
  }
  test::ProcessResult result = test::RunProcess("/usr/bin/env", args, {.timeout_seconds = 300});
  if (result.exit_code == 127) SKIP("needs python3");
  if (result.exit_code == 77) SKIP(result.out);
  return result;
}

void OpenInBrowser(const std::vector<Record>& records, const std::string& name) {
  const test::ProcessResult result = Browse(records, records, name);
  INFO(result.out << result.err);
  CHECK(result.exit_code == 0);
}

TEST_CASE("The browser's check sees a figure that is not the table's", "[eval][report][browser]") {
  std::vector<Record> records = {test::NllPoint("none", 0, 1),
                                 test::NllPoint("spark:0.8", 0.01, 0.6)};
  std::vector<Record> changed = records;
  changed[1]["kv_share"] = 0.61;
  const test::ProcessResult result = Browse(records, changed, "changed");
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.out, ContainsSubstring("kv_share of spark:0.8 nll 1024 is 0.6, table 0.61"));
}

TEST_CASE("A browser shows what the tables say, without complaints", "[eval][report][browser]") {
  OpenInBrowser(test::FixtureRecords(), "full");
}

TEST_CASE("A browser shows reports of hostile texts", "[eval][report][browser]") {
  OpenInBrowser(Hostile(test::FixtureRecords()), "hostile");
}

TEST_CASE("A browser shows reports that lack something", "[eval][report][browser]") {
  const std::vector<Record> all = test::FixtureRecords();
  const auto only = [&](auto&& keep) {
    std::vector<Record> some;
    for (const Record& record : all) {
      if (keep(record)) some.push_back(record);
    }
    return some;
  };
  SECTION("no record at all") { OpenInBrowser({}, "empty"); }
  SECTION("failed points only") {
    OpenInBrowser(only([](const Record& r) { return r["status"] == "failed"; }), "failed");
  }
  SECTION("perplexity only") {
    OpenInBrowser(only([](const Record& r) { return r["task"] == "nll"; }), "nll");
  }
  SECTION("speed only") {
    OpenInBrowser(only([](const Record& r) { return r["task"] == "speed"; }), "speed");
  }
  SECTION("one retrieval task, without the uncompressed cache") {
    OpenInBrowser(only([](const Record& r) { return r["task"] == "vt" && r["kv"] != "none"; }),
                  "vt");
  }
}

}  // namespace report_test
}  // namespace spark
