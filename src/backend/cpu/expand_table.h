// How many kept channels come before each of eight.
#ifndef SPARK_BACKEND_CPU_EXPAND_TABLE_H_
#define SPARK_BACKEND_CPU_EXPAND_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace spark {

// kRanks[bits][i]: set bits of `bits` below bit i, i.e. which kept value lane i takes if its bit is
// set. 2 KB; for targets without an instruction that expands.
inline constexpr auto kRanks = [] {
  std::array<std::array<uint8_t, 8>, 256> ranks{};
  for (size_t bits = 0; bits < 256; ++bits) {
    uint8_t rank = 0;
    for (size_t i = 0; i < 8; ++i) {
      ranks[bits][i] = rank;
      if ((bits >> i) & 1) ++rank;
    }
  }
  return ranks;
}();

}  // namespace spark

#endif  // SPARK_BACKEND_CPU_EXPAND_TABLE_H_
