#include "apps/turn_input.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

namespace spark {
namespace turn_input_test {

// What ReadTurn() makes of some lines: turns as they are, commands in <>; and the prompts it shows.
struct Turns {
  explicit Turns(std::vector<std::string> lines) {
    size_t next = 0;
    const ReadLine read = [&](const std::string& prompt) -> std::optional<std::string> {
      prompts += prompt[0];
      if (next == lines.size()) return std::nullopt;
      return lines[next++];
    };
    while (const auto turn = ReadTurn(read)) {
      turns.push_back(turn->is_command ? "<" + turn->text + ">" : turn->text);
    }
  }
  std::vector<std::string> turns;
  std::string prompts;
};

using Texts = std::vector<std::string>;

TEST_CASE("a line is a turn, and empty ones are none", "[turns]") {
  CHECK(Turns({"a", "", "  \t", " b "}).turns == Texts{"a", " b "});
  CHECK(Turns({}).turns.empty());
}

TEST_CASE("a backslash at the end of a line goes on in the next", "[turns]") {
  const Turns turns({R"(a\)", R"(b\)", "c", "d"});
  CHECK(turns.turns == Texts{"a\nb\nc", "d"});
  CHECK(turns.prompts == ">..>>");
  CHECK(Turns({R"(a\b)"}).turns == Texts{R"(a\b)"});
  CHECK(Turns({R"(a\)"}).turns == Texts{"a\n"});  // the input ends
  CHECK(Turns({R"(\)", "/quit"}).turns == Texts{"\n/quit"});
}

TEST_CASE("three quotes begin and end a turn of many lines", "[turns]") {
  const std::string q = R"(""")";
  CHECK(Turns({q, "a", "", R"(/b\)", q, "c"}).turns == Texts{"a\n\n/b\\", "c"});
  CHECK(Turns({q + "a", "b" + q}).turns == Texts{"a\nb"});
  CHECK(Turns({q + "/a" + q}).turns == Texts{"/a"});
  CHECK(Turns({q + q, q, q, "x"}).turns == Texts{"x"});
  CHECK(Turns({q, "a"}).turns == Texts{"a"});  // the input ends
  CHECK(Turns({"a " + q}).turns == Texts{"a " + q});
  CHECK(Turns({q, "a", q}).prompts == ">..>");
}

TEST_CASE("a line that begins with a slash is a command", "[turns]") {
  CHECK(Turns({"/quit", "/save a b", " /etc"}).turns == Texts{"</quit>", "</save a b>", " /etc"});
}

}  // namespace turn_input_test
}  // namespace spark
