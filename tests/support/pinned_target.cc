#include "tests/support/pinned_target.h"

#include <algorithm>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
#include <cstdlib>

#include "spark/simd.h"

namespace spark::test {

std::string PinnedTarget() {
  const char* name = std::getenv("SPARK_SIMD_TARGET");
  return name == nullptr ? "" : name;
}

namespace {

// Before every test: those that pin targets themselves unpin them when they end.
class PinTarget : public Catch::EventListenerBase {
 public:
  using EventListenerBase::EventListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    const bool of_pinning = std::any_of(test.tags.begin(), test.tags.end(), [](const auto& tag) {
      return tag.original == Catch::StringRef("simd");
    });
    if (const std::string name = PinnedTarget(); !name.empty()) {
      PinSimdTarget(of_pinning ? "auto" : name);
    }
  }
};
CATCH_REGISTER_LISTENER(PinTarget)

}  // namespace
}  // namespace spark::test
