#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "spark/error.h"
#include "spark/simd.h"

namespace spark {
namespace targets_test {

TEST_CASE("a SIMD target can be pinned by name, and released", "[simd]") {
  const std::vector<std::string> targets = SimdTargets();
  REQUIRE(!targets.empty());
  const std::string best = CurrentSimdTarget();
  CHECK(best == targets.front());
  for (const std::string& target : targets) {
    PinSimdTarget(target);
    CHECK(CurrentSimdTarget() == target);
    CHECK(SimdTargets() == targets);
  }
  PinSimdTarget("scalar");
  CHECK(CurrentSimdTarget() == targets.back());
  PinSimdTarget("auto");
  CHECK(CurrentSimdTarget() == best);
}

TEST_CASE("an unknown SIMD target is a usage error that lists the allowed ones", "[simd]") {
  try {
    PinSimdTarget("mmx");
    FAIL("no error");
  } catch (const UsageError& error) {
    CHECK(error.context().found == "mmx");
    for (const std::string& target : SimdTargets()) {
      CHECK(error.context().allowed.find(target) != std::string::npos);
    }
  }
}

}  // namespace targets_test
}  // namespace spark
