#include "generate/stop_filter.h"

#include <catch2/catch_test_macros.hpp>

#include "spark/error.h"

namespace spark {
namespace stop_filter_test {

TEST_CASE("text before a stop text passes, the stop text and what follows do not", "[stop]") {
  StopFilter filter({"END"});
  CHECK(filter.Push("one ") == "one ");
  CHECK(filter.Push("two END three") == "two ");
  CHECK(filter.stopped());
  CHECK(filter.Push("four").empty());
  CHECK(filter.Flush().empty());
}

TEST_CASE("only what could begin a stop text is held back", "[stop]") {
  StopFilter filter({"\n\nUser:", "abab"});
  CHECK(filter.Push("x\n") == "x");
  CHECK(filter.Push("y") == "\ny");
  CHECK(filter.Push("\n") == "");
  CHECK(filter.Push("\nUse") == "");
  CHECK(filter.Push("ful") == "\n\nUseful");
  CHECK(filter.Push("aba") == "");
  CHECK(filter.Push("c") == "abac");
  CHECK(filter.Push("ab") == "");
  CHECK(filter.Flush() == "ab");
  CHECK_FALSE(filter.stopped());
}

TEST_CASE("a stop text may come byte by byte", "[stop]") {
  const std::string text = "aab aabaaab tail";
  StopFilter filter({"aaab"});
  std::string shown;
  for (const char c : text) shown += filter.Push(std::string(1, c));
  shown += filter.Flush();
  CHECK(shown == "aab aab");
  CHECK(filter.stopped());
}

TEST_CASE("the earliest of several stop texts counts", "[stop]") {
  StopFilter filter({"late", "ear"});
  CHECK(filter.Push("1 ear 2 late") == "1 ");
}

TEST_CASE("without stop texts everything passes; an empty one is refused", "[stop]") {
  StopFilter filter({});
  CHECK(filter.Push("any") == "any");
  CHECK_THROWS_AS(StopFilter({""}), UsageError);
}

}  // namespace stop_filter_test
}  // namespace spark
