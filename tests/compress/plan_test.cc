#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "compress/registry.h"
#include "spark/compression.h"
#include "spark/error.h"

namespace spark {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

void CheckRefused(const std::string& plan, const std::string& message) {
  INFO(plan);
  CHECK_THROWS_MATCHES(CompressionPlan::Parse(plan), UsageError,
                       MessageMatches(ContainsSubstring(message)));
}

TEST_CASE("plans that are understood", "[plan]") {
  CHECK(CompressionPlan::Parse("none").channel_stage() == nullptr);
  CHECK(CompressionPlan::Parse("full").channel_stage() == nullptr);
  for (const char* plan : {"spark:0", "spark:0.5", "spark:.8", "spark:0.99", "think:0.5[window=64]",
                           "spark:0.8[window=16,recovery=zero,keep=32,sinks=4,weights=rms]"}) {
    INFO(plan);
    CHECK(CompressionPlan::Parse(plan).channel_stage() != nullptr);
    CHECK(CompressionPlan::Parse(plan).text() == plan);
  }
  CHECK(CompressionPlan::Parse("spark:0.5[window=7]").channel_stage()->window() == 7);
}

TEST_CASE("errors in plans point at the character", "[plan]") {
  CheckRefused("", "name is missing at character 1");
  CheckRefused("spork:0.5", "unknown method 'spork', allowed none, ");
  CheckRefused("spark", "needs a ratio, such as spark:0.5, at character 6");
  CheckRefused("spark:", "needs a ratio");
  CheckRefused("spark:1", "ratio: found '1', allowed a number from 0 to below 1, at character 7");
  CheckRefused("spark:-0.1", "at character 7");
  CheckRefused("spark:nan", "ratio: found 'nan'");
  CheckRefused("spark:inf", "ratio: found 'inf'");
  CheckRefused("spark:1e999", "ratio: found '1e999'");
  CheckRefused("spark:0.5x", "ratio: found '0.5x'");
  CheckRefused("spark:0.5[", "'=' expected");
  CheckRefused("spark:0.5[window=32", "']' expected at character 20");
  CheckRefused("spark:0.5[windw=32]", "has no option 'windw'");
  CheckRefused("spark:0.5[window=0]", "window: found '0', allowed a whole number from 1");
  CheckRefused("spark:0.5[window=1,window=2]", "given twice at character 20");
  CheckRefused("spark:0.5[recovery=median]", "found 'median', allowed mean, zero");
  CheckRefused("spark:0.5]", "ratio: found '0.5]'");
  CheckRefused("spark:0.5+", "name is missing at character 11");
  CheckRefused("spark:0.5+think:0.5", "at most one channel stage");
  CheckRefused("none:0.5", "takes no argument");
  CheckRefused("none+spark:0.5", "unknown method 'none'");
}

TEST_CASE("the list of methods names every option", "[plan]") {
  const std::string list = ListKvMethods();
  for (const MethodInfo& method : Registry()) {
    CHECK_THAT(list, ContainsSubstring(std::string(method.name)));
    for (const OptionInfo& option : method.options) {
      CHECK_THAT(list,
                 ContainsSubstring(std::string(option.name) + "=" + std::string(option.fallback)));
    }
  }
}

}  // namespace
}  // namespace spark
