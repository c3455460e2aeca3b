#include "base/parts.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <vector>

namespace spark {
namespace parts_test {

TEST_CASE("parts cover every number once, inside a parallel region and outside", "[parts]") {
  constexpr size_t kPart = 8;
  for (const size_t n : {0, 1, 7, 8, 9, 15, 16, 17, 100}) {
    INFO("n " << n);
    std::vector<std::atomic<int>> seen(n);
    std::atomic<int> too_long = 0;
    const auto count = [&](size_t first, size_t last) {
      if (last - first > kPart) ++too_long;
      for (size_t i = first; i < last; ++i) ++seen[i];
    };
    ForParts(n, kPart, count);
#pragma omp parallel num_threads(3)
    ForParts(n, kPart, count);
    for (const std::atomic<int>& times : seen) CHECK(times == 1 + 3);
    CHECK(too_long == 0);
  }
}

}  // namespace parts_test
}  // namespace spark
