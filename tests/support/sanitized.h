// Whether this is a build with sanitizers, in which tests take ten to a hundred times as long: some
// do less there of what would find nothing new, as the same code runs on small models.
#ifndef SPARK_TESTS_SUPPORT_SANITIZED_H_
#define SPARK_TESTS_SUPPORT_SANITIZED_H_

namespace spark::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_SANITIZED_H_
