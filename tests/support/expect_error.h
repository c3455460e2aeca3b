// For tests of bad input: it must end in spark::Error, with one clear line.
#ifndef SPARK_TESTS_SUPPORT_EXPECT_ERROR_H_
#define SPARK_TESTS_SUPPORT_EXPECT_ERROR_H_

#include <catch2/catch_test_macros.hpp>
#include <initializer_list>
#include <string>
#include <string_view>

#include "spark/error.h"

namespace spark::test {

// Runs `action`; its error must hold all of `parts` and be a single, bounded line.
template <typename Action>
void ExpectError(Action&& action, std::initializer_list<std::string_view> parts) {
  std::string line;
  try {
    action();
  } catch (const Error& error) {
    line = error.what();
  }
  CAPTURE(line);
  REQUIRE_FALSE(line.empty());
  CHECK(line.find('\n') == line.npos);
  CHECK(line.size() < 1000);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(line.find(part) != line.npos);
  }
}

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_EXPECT_ERROR_H_
