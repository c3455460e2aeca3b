#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "compress/registry.h"
#include "spark/compression.h"
#include "spark/error.h"

namespace spark {
namespace plan_test {

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
  for (const char* plan :
       {"spark:0", "spark:0.5", "spark:.8", "spark:0.99", "think:0.5[window=64]",
        "spark:0.8[window=16,recovery=zero,keep=32,sinks=4,weights=rms]",
        "spark:0.8[recovery=normal,seed=7,clip=threshold]", "spark:0.8[recovery=exponential]",
        "spark:0.8[values=0.5,fill=zero]", "spark:0.8[store=cache]", "spark:0.8[store=q4_0]",
        "spark-group", "spark-group[threshold=0.9,values=0.5,store=q8_0,keep=32,sinks=4]",
        "spark-topp:1", "spark-topp:0.99[weights=rms,window=8,recovery=zero]"}) {
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
  CheckRefused("spark-group:0.5", "takes no ratio, found '0.5' at character 13");
  CheckRefused("spark-group[threshold=1.1]",
               "threshold: found '1.1', allowed a number from 0 to 1, at character 23");
  CheckRefused("spark:0.5[threshold=0.9]", "'spark' has no option 'threshold'");
  CheckRefused("spark-topp", "needs a share, such as spark-topp:0.99, at character 11");
  CheckRefused("spark-topp:0", "share: found '0', allowed a number above 0 to 1, at character 12");
  CheckRefused("spark-topp:1.01", "share: found '1.01'");
  CheckRefused("spark-topp:nan", "share: found 'nan'");
  CheckRefused("spark:0.5[values=1]",
               "values: allowed a number from 0 to below 1, at character 18");
  CheckRefused("spark:0.5[values=-1]", "values: found '-1'");
  CheckRefused("spark:0.5[values=0.5,fill=0]", "fill: found '0', allowed mean, zero");
  CheckRefused("spark:0.5[fill=zero]", "fill: no value is pruned without values=R");
  CheckRefused("spark:0.5[seed=2]", "seed: only recovery=normal and recovery=exponential");
  CheckRefused("spark:0.5[recovery=zero,clip=mean]", "clip: only recovery=normal");
  CheckRefused("spark:0.5[recovery=normal,seed=-1]", "seed: found '-1'");
  CheckRefused("spark:0.5[recovery=normal,clip=max]", "found 'max', allowed mean, threshold");
  CheckRefused("spark:0.5[store=q6_K]", "found 'q6_K', allowed cache, f32, f16, bf16, q8_0, q4_0");
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

}  // namespace plan_test
}  // namespace spark
