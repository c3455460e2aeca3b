// The folder of a sweep, through accidents.
#include "eval/results.h"

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <filesystem>

#include "spark/error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace results_test {

using test::ReadText;
using test::TempDir;

Record MakeLine(const std::string& point, const std::string& status = "ok") {
  return {{"point", point}, {"status", status}, {"kv", point},           {"task", "nll"},
          {"context", 256}, {"threads", 1},     {"cache_type_k", "f16"}, {"cache_type_v", "f16"}};
}

nlohmann::ordered_json Config() {
  return {{"model", "m"},
          {"seed", 1},
          {"version", "1"},
          {"task", {"nll"}},
          {"context", {256}},
          {"threads", {1}},
          {"cache_type_k", {"f16"}},
          {"cache_type_v", {"f16"}},
          {"kv", {"none", "a", "b"}}};
}

std::vector<std::string> Names(const std::vector<Record>& records) {
  std::vector<std::string> names;
  for (const Record& record : records) names.push_back(record["point"].get<std::string>());
  return names;
}

TEST_CASE("lines of an earlier run are there again", "[results]") {
  const TempDir dir;
  const std::string folder = dir / "new/folder";
  {
    ResultsFolder results(folder);
    CHECK(results.records().empty());
    results.Append(MakeLine("a"));
    results.Append(MakeLine("b"));
  }
  ResultsFolder results(folder);
  CHECK(Names(results.records()) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a torn last line is cut off, at any byte", "[results]") {
  const TempDir dir;
  const std::string whole = MakeLine("a").dump() + "\n";
  const std::string torn = MakeLine("b").dump();
  for (size_t n = 0; n <= torn.size(); n += 7) {
    dir.Write("results.jsonl", whole + torn.substr(0, n));
    CHECK(ReadRecords(dir / "results.jsonl").size() == 1);
    ResultsFolder results(dir.path().string());
    CHECK(results.records().size() == 1);
    results.Append(MakeLine("b"));
    CHECK(ReadText(dir / "results.jsonl") == whole + torn + "\n");
  }
  // Also where nothing else is there.
  dir.Write("results.jsonl", torn);
  CHECK(ResultsFolder(dir.path().string()).records().empty());
  CHECK(ReadText(dir / "results.jsonl").empty());
}

TEST_CASE("a whole line that is no record is an error that names it", "[results]") {
  const TempDir dir;
  for (const std::string line : {"", "{", "[]", "1", "{}", R"({"point":1,"status":"ok"})",
                                 R"({"point":"a"})", R"({"point":"a","status":2})"}) {
    CAPTURE(line);
    dir.Write("results.jsonl", MakeLine("a").dump() + "\n" + line + "\n");
    try {
      ResultsFolder results(dir.path().string());
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("line 2") != std::string::npos);
    }
  }
}

TEST_CASE("two sweeps do not write into one folder", "[results]") {
  const TempDir dir;
  const ResultsFolder results(dir.path().string());
  CHECK_THROWS_AS(ResultsFolder(dir.path().string()), Error);
}

TEST_CASE("a folder that cannot be made is an error", "[results]") {
  const TempDir dir;
  CHECK_THROWS_AS(ResultsFolder(dir.Write("file", "x") + "/below"), Error);
  CHECK_THROWS_AS(ResultsFolder("/proc/nothing"), Error);
}

TEST_CASE("settings may add points and nothing else", "[results]") {
  const TempDir dir;
  const std::string folder = dir.path().string();
  ResultsFolder results(folder);
  results.SetConfig(Config());
  nlohmann::ordered_json more = Config();
  more["kv"] = {"none", "c"};
  more["context"] = {512};
  more["version"] = "2";
  results.SetConfig(more);
  CHECK(ReadConfig(folder)["kv"] == nlohmann::ordered_json{"none", "a", "b", "c"});
  CHECK(ReadConfig(folder)["context"] == nlohmann::ordered_json{256, 512});
  nlohmann::ordered_json other = Config();
  other["seed"] = 2;
  const std::string before = ReadText(dir / "config.json");
  try {
    results.SetConfig(other);
    FAIL_CHECK("accepted");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("seed") != std::string::npos);
  }
  CHECK(ReadText(dir / "config.json") == before);
  dir.Write("config.json", "[");
  CHECK_THROWS_AS(results.SetConfig(Config()), Error);
}

TEST_CASE("tables have each point once, in the order of the lists", "[results]") {
  const std::vector<Record> records = {MakeLine("b"), MakeLine("a", "failed"), MakeLine("none"),
                                       MakeLine("a"), MakeLine("unknown")};
  const std::vector<Record> ordered = Ordered(records, Config());
  CHECK(Names(ordered) == std::vector<std::string>{"none", "a", "b", "unknown"});
  CHECK(ordered[1]["status"] == "ok");
}

// Files of this process can't grow beyond some bytes: as on a disk that is full, a write takes what
// fits and the next one fails.
class SmallFiles {
 public:
  explicit SmallFiles(size_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallFiles() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("a line that does not fit leaves the lines before it", "[results]") {
  const TempDir dir;
  const std::string folder = dir.path().string();
  const std::string line = MakeLine("a").dump() + "\n";
  {
    ResultsFolder results(folder);
    results.Append(MakeLine("a"));
    const SmallFiles limit(line.size() + 20);
    CHECK_THROWS_AS(results.Append(MakeLine("b")), Error);
    CHECK(ReadText(dir / "results.jsonl") == line);
    CHECK(results.records().size() == 1);
  }
  ResultsFolder results(folder);
  results.Append(MakeLine("b"));
  CHECK(Names(ReadRecords(dir / "results.jsonl")) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a file that does not fit is left as it was", "[results]") {
  const TempDir dir;
  const std::string path = dir.Write("table.csv", "before");
  {
    const SmallFiles limit(100);
    CHECK_THROWS_AS(ReplaceFile(path, std::string(1000, 'x')), Error);
  }
  CHECK(ReadText(path) == "before");
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
  ReplaceFile(path, "after");
  CHECK(ReadText(path) == "after");
}

}  // namespace results_test
}  // namespace spark
