// Arithmetic on sizes that come from files: overflow is an answer, never a wrap.
#ifndef SPARK_BASE_CHECKED_H_
#define SPARK_BASE_CHECKED_H_

#include <cstdint>
#include <optional>

namespace spark {

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

}  // namespace spark

#endif  // SPARK_BASE_CHECKED_H_
