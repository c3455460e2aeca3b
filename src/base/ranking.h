// Ranking numbers that are not negative, largest first, of equal ones the lower index first: one
// 64-bit key holds both, so neither pairs nor comparators are sorted.
#ifndef SPARK_BASE_RANKING_H_
#define SPARK_BASE_RANKING_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace spark {

// Larger keys rank first. The bits of floats without a sign order as the floats do.
constexpr uint64_t RankKey(float x, size_t index) {
  return (static_cast<uint64_t>(std::bit_cast<uint32_t>(x)) << 32) | ~static_cast<uint32_t>(index);
}
constexpr float RankedValue(uint64_t key) {
  return std::bit_cast<float>(static_cast<uint32_t>(key >> 32));
}
constexpr size_t RankedIndex(uint64_t key) { return ~static_cast<uint32_t>(key); }

}  // namespace spark

#endif  // SPARK_BASE_RANKING_H_
