#ifndef SPARK_TESTS_SUPPORT_LARGEST_DIFFERENCE_H_
#define SPARK_TESTS_SUPPORT_LARGEST_DIFFERENCE_H_

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

namespace spark {

// Of logits as long as each other.
inline float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts as large
  }
  return largest;
}

}  // namespace spark

#endif  // SPARK_TESTS_SUPPORT_LARGEST_DIFFERENCE_H_
