#include "base/dtype.h"

#include <array>

#include "base/checked.h"

namespace spark {

const DTypeTraits& Traits(DType type) {
  static constexpr std::array<DTypeTraits, std::size(kAllDTypes)> kTraits = {{
      {"f32", 1, 4},
      {"f16", 1, 2},
      {"bf16", 1, 2},
      {"q8_0", 32, 34},    // f16 scale, 32 × i8
      {"q4_0", 32, 18},    // f16 scale, 32 × 4 bits
      {"q4_1", 32, 20},    // f16 scale, f16 minimum, 32 × 4 bits
      {"q5_0", 32, 22},    // f16 scale, 32 high bits, 32 × 4 bits
      {"q5_1", 32, 24},    // f16 scale, f16 minimum, 32 high bits, 32 × 4 bits
      {"q4_K", 256, 144},  // f16 scale, f16 minimum, 8 × (6-bit scale, 6-bit minimum), 256 × 4 bits
      {"q5_K", 256, 176},  // the same with 256 high bits
      {"q6_K", 256, 210},  // 256 × 4 low bits, 256 × 2 high bits, 16 × i8 scales, f16 scale
      {"q2_K", 256, 84},  // 16 × (4-bit scale, 4-bit minimum), 256 × 2 bits, f16 scale, f16 minimum
      {"q3_K", 256, 110},    // 256 high bits, 256 × 2 bits, 16 × 6-bit scales, f16 scale
      {"q8_K", 256, 292},    // f32 scale, 256 × i8, 16 × i16 sums of the quanta
      {"iq4_nl", 32, 18},    // f16 scale, 32 × 4-bit places in a table of 16 values
      {"iq4_xs", 256, 136},  // f16 scale, 8 × 6-bit scales, 256 × 4-bit places in that table
  }};
  return kTraits[static_cast<size_t>(type)];
}

std::optional<uint64_t> RowBytes(DType type, uint64_t n) {
  const DTypeTraits& traits = Traits(type);
  if (n % traits.block_elements != 0) return std::nullopt;
  return CheckedMul(n / traits.block_elements, traits.block_bytes);
}

}  // namespace spark
