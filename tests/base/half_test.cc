#include "base/half.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

namespace spark {
namespace half_test {

TEST_CASE("every binary16 value survives a round trip through float", "[half]") {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto half = static_cast<F16>(bits);
    const float value = ToFloat(half);
    if (std::isnan(value)) {
      CHECK(std::isnan(ToFloat(ToF16(value))));
    } else if (static_cast<uint32_t>(ToF16(value)) != bits) {
      FAIL("binary16 bits " << bits << " came back different");
    }
  }
}

TEST_CASE("conversion to 16 bits rounds to nearest, ties to even", "[half]") {
  CHECK(ToFloat(ToF16(1.0f + 0x1p-11f)) == 1.0f);              // tie, even below
  CHECK(ToFloat(ToF16(1.0f + 0x1.8p-10f)) == 1.0f + 0x1p-9f);  // tie, even above
  CHECK(ToFloat(ToF16(65519.0f)) == 65504.0f);
  CHECK(std::isinf(ToFloat(ToF16(65520.0f))));
  CHECK(ToFloat(ToF16(-0x1p-24f)) == -0x1p-24f);  // the smallest subnormal
  CHECK(ToFloat(ToF16(0x1p-26f)) == 0.0f);
  CHECK(ToFloat(ToBF16(1.0f + 0x1p-8f)) == 1.0f);
  CHECK(ToFloat(ToBF16(1.0f + 0x1.8p-7f)) == 1.0f + 0x1p-6f);
  CHECK(std::isnan(ToFloat(ToBF16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace half_test
}  // namespace spark
