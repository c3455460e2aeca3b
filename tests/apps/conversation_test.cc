// --conversation, from a pipe and on a terminal.
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/spark_generate.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"

namespace spark::test {
namespace conversation_test {

using Args = std::vector<std::string>;

std::vector<nlohmann::json> ReadLines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST_CASE("commands and turns of many lines come from a pipe as well", "[converse]") {
  const TempDir dir;
  const std::string path = dir.Write("chat.jsonl", "");
  const ProcessResult result = SparkGenerate(
      {"--conversation", "-n", "3", "--ignore-eos", "--stats", "json"},
      {.input = "Once there \\\nwas\n/stats\n/what\n/save " + path + "\n/save\n/save /no/such/x\n" +
                R"(""")" + "\n/And\nthen?\n" + R"(""")" + "\n/clear\nOnce\n\n/quit\nnot read\n"});
  CHECK(result.exit_code == 0);
  for (const char* text : {"kv cache", "/what: no such command", "Saved 2 messages",
                           "needs the name", "cannot be written", "A new conversation"}) {
    CAPTURE(text, result.err);
    CHECK(result.err.find(text) != std::string::npos);
  }
  const auto lines = ReadLines(path);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["content"] == "Once there \nwas");
  const auto stats = StatsOf(result);  // since /clear
  CHECK(stats["generated_tokens"] == 3);
  CHECK(stats["question_tokens"] == 0);
}

TEST_CASE("turns go into the compressed cache", "[converse]") {
  const ProcessResult result = SparkGenerate(
      {"--conversation", "-n", "4", "--ignore-eos", "--stats", "json", "--kv", "spark:0.5"},
      {.input = "Once there was a fox.\nAnd then?\nWhy?\n"});
  const auto stats = StatsOf(result);
  CHECK(stats["generated_tokens"] == 12);
  CHECK(stats["kv_bytes"]["key_masks"] > 0);
  // Position: everything but the last token, which has been drawn and not fed.
  const size_t tokens =
      stats["context_tokens"].get<size_t>() + stats["question_tokens"].get<size_t>() + 12 - 1;
  CHECK(stats["kv_bytes_dense_f16"].get<size_t>() % tokens == 0);
}

#ifdef SPARK_GENERATE
const Args kArgs = {"--conversation", "--threads", "1", "--stats", "none", "--ignore-eos"};

Args With(Args more) {
  more.insert(more.begin(), kArgs.begin(), kArgs.end());
  return more;
}

TEST_CASE("on a terminal Ctrl-C stops an answer, and the next turn works", "[converse]") {
  const TempDir dir;
  const std::string path = dir.Write("chat.jsonl", "");
  constexpr size_t kUnderWay = 1000;  // bytes: the answer has begun, and will be far longer
  if (!Terminal::Available()) SKIP("no pseudo-terminals here");
  Terminal terminal(SPARK_GENERATE, With({"-n", "1000000", "-c", "1000000"}));
  terminal.WaitFor("> ");
  terminal.Type("Once\r");
  terminal.WaitForBytes(kUnderWay);
  terminal.Type("\x03");
  terminal.WaitFor("\n> ");
  terminal.Type("And then?\r");
  terminal.WaitForBytes(kUnderWay);
  terminal.Type("\x03");
  terminal.WaitFor("\n> ");
  terminal.Type("/save " + path + "\r");
  terminal.WaitFor("Saved 4 messages");
  terminal.WaitFor("> ");
#ifdef SPARK_LIBEDIT
  // Editing works: Ctrl-A goes to the beginning, and only there does Ctrl-K delete all. (A Ctrl-D
  // before the terminal is in libedit's hands would be eaten by the system.)
  terminal.Type("ab\x01");
  terminal.WaitFor("\b\b");
  terminal.Type("\x0b");
#endif
  terminal.Type("\x04");
  CHECK(terminal.Wait() == 0);
  const auto lines = ReadLines(path);
  REQUIRE(lines.size() == 4);
  CHECK(lines[2]["content"] == "And then?");
}

TEST_CASE("on a terminal Ctrl-C at the prompt quits, and a mistake does not", "[converse]") {
  if (!Terminal::Available()) SKIP("no pseudo-terminals here");
  Terminal terminal(SPARK_GENERATE, With({"-n", "2", "-c", "50"}));
  terminal.WaitFor("> ");
  terminal.Type(std::string(400, 'x') + "\r");
  terminal.WaitFor("does not fit");
  terminal.WaitFor("> ");
  terminal.Type("Once\r");
  terminal.WaitFor("\n> ");
  terminal.Type("\x03");
  CHECK(terminal.Wait() == 130);
}
#endif

}  // namespace conversation_test
}  // namespace spark::test
