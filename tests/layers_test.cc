// Folders are layers: a folder includes itself and those below it, never those above.
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace layers_test {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 9> kLayers = {  // lowest first
    "base", "kv", "backend", "io", "text", "model", "compress", "generate", "eval"};

constexpr std::array<std::string_view, 3> kBackends = {"backend/reference/", "backend/cpu/",
                                                       "backend/cuda/"};

size_t Level(std::string_view folder) {
  return static_cast<size_t>(std::ranges::find(kLayers, folder) - kLayers.begin());
}

std::string_view FirstFolder(std::string_view path) {
  const size_t slash = path.find('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

// <vector>, <cmath>: the headers of C++ have neither a folder nor an extension.
bool IsStandard(std::string_view header) { return header.find_first_of("/.") == header.npos; }

// What is wrong with `header` being included by `file`, a path from the project's root; empty when
// nothing is. `quoted`: "header", else <header>.
std::string Violation(std::string_view file, std::string_view header, bool quoted) {
  const std::string_view top = FirstFolder(file);
  const std::string_view folder = FirstFolder(header);
  if (header.starts_with("..")) return "paths start at src/ or include/";
  if (quoted && folder == "spark") return "";

  if (top == "include") {
    return !quoted && IsStandard(header)
               ? ""
               : "public headers include the standard library and other public headers only";
  }
  if (top == "apps") {
    const bool fine = quoted ? folder == "CLI" || folder == "fmt" || folder == "apps" ||
                                   header == "base/terminal.h"
                             : folder == "CLI" || folder == "fmt" || IsStandard(header) ||
                                   header == "histedit.h" || header == "langinfo.h";
    return fine ? ""
                : "programs use the public headers, base/terminal.h, CLI11, fmt, libedit and the "
                  "standard library only";
  }

  const std::string_view in_src = file.substr(top.size() + 1);
  const std::string_view own = FirstFolder(in_src);
  if (!own.empty() && Level(own) == kLayers.size()) return "src/ has a folder without a layer";
  if (!quoted) {
    const bool of_system = folder == "sys" || header == "unistd.h" || header == "fcntl.h" ||
                           header == "windows.h" || header == "io.h";
    return of_system && own != "base" ? "what operating systems differ in is known to base/" : "";
  }
  if (folder == "apps" || folder == "tests") return "the library includes neither apps nor tests";
  if (Level(folder) < kLayers.size() && Level(folder) > Level(own)) {
    return "a folder includes one above it";
  }
  for (const std::string_view one : kBackends) {
    for (const std::string_view other : kBackends) {
      if (one != other && in_src.starts_with(one) && header.starts_with(other)) {
        return "backends don't include each other";
      }
    }
  }
  return "";
}

// One line for every include of `text` that breaks a rule.
std::vector<std::string> Violations(const std::string& file, const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::erase(line, ' ');
    if (!line.starts_with("#include")) continue;
    const std::string_view rest = std::string_view(line).substr(8);
    if (rest.empty() || (rest[0] != '"' && rest[0] != '<')) continue;
    const bool quoted = rest[0] == '"';
    const std::string_view header = rest.substr(1, rest.find(quoted ? '"' : '>', 1) - 1);
    const std::string wrong = Violation(file, header, quoted);
    if (!wrong.empty()) found.push_back(file + " includes " + std::string(header) + ": " + wrong);
  }
  return found;
}

TEST_CASE("The checker of layers tells right from wrong", "[layers]") {
  const auto wrong = [](const std::string& file, const std::string& line) {
    return !Violations(file, "// text\n" + line + "\n").empty();
  };
  CHECK_FALSE(wrong("src/model/transformer.cc", "#include \"backend/backend.h\""));
  CHECK_FALSE(wrong("src/model/transformer.cc", "#include \"model/config.h\"  // own layer"));
  CHECK_FALSE(wrong("src/model/transformer.cc", "#include \"spark/error.h\""));
  CHECK_FALSE(wrong("src/backend/cpu/dot.cc", "#include \"hwy/highway.h\""));
  CHECK_FALSE(wrong("src/backend/cpu/dot.cc", "#include \"backend/backend.h\""));
  CHECK_FALSE(wrong("include/spark/session.h", "#include \"spark/error.h\""));
  CHECK_FALSE(wrong("include/spark/session.h", "#include <cstdint>"));
  CHECK_FALSE(wrong("src/base/durable_file.cc", "#include <sys/file.h>"));
  CHECK_FALSE(wrong("apps/console.h", "#include \"base/terminal.h\""));
  CHECK_FALSE(wrong("apps/spark-generate.cc", "#include <CLI/CLI.hpp>"));

  CHECK(wrong("src/base/half.h", "#include \"kv/kv_cache.h\""));
  CHECK(wrong("src/backend/cpu/dot.cc", "#  include \"model/config.h\""));
  CHECK(wrong("src/backend/cpu/dot.cc", "#include \"backend/reference/dot.h\""));
  CHECK(wrong("src/backend/reference/dot.cc", "#include \"backend/cpu/dot.h\""));
  CHECK(wrong("src/backend/cuda/matmul.cu", "#include \"backend/cpu/matmul.h\""));
  CHECK(wrong("src/generate/session.cc", "#include \"eval/sweep.h\""));
  CHECK(wrong("src/generate/session.cc", "#include \"../base/half.h\""));
  CHECK(wrong("src/eval/sweep.cc", "#include \"apps/flags.h\""));
  CHECK(wrong("src/unknown/file.cc", "#include <vector>"));
  CHECK(wrong("include/spark/session.h", "#include \"kv/kv_cache.h\""));
  CHECK(wrong("include/spark/session.h", "#include <hwy/highway.h>"));
  CHECK(wrong("include/spark/session.h", "#include <omp.h>"));
  CHECK(wrong("apps/spark-generate.cc", "#include \"generate/session.h\""));
  CHECK(wrong("apps/spark-generate.cc", "#include <nlohmann/json.hpp>"));
  CHECK(wrong("apps/spark-generate.cc", "#include <unistd.h>"));
  CHECK(wrong("src/eval/results.cc", "#include <sys/file.h>"));
  CHECK(Violations("src/base/half.h", "#include \"kv/kv_cache.h\"") ==
        std::vector<std::string>{
            "src/base/half.h includes kv/kv_cache.h: a folder includes one above it"});
}

TEST_CASE("No folder includes one above it", "[layers]") {
  const fs::path root = SPARK_SOURCE_DIR;
  size_t files = 0;
  for (const char* top : {"src", "include", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cc" && extension != ".cu") continue;
      std::ifstream in(entry.path());
      std::ostringstream text;
      text << in.rdbuf();
      REQUIRE(in.good());
      ++files;
      for (const std::string& line :
           Violations(fs::relative(entry.path(), root).generic_string(), text.str())) {
        FAIL_CHECK(line);
      }
    }
  }
  CHECK(files > 10);
}

}  // namespace layers_test
