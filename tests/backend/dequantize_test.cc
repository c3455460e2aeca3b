#include "backend/dequantize.h"

#include <algorithm>
#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/half.h"
#include "io/safetensors.h"

namespace spark {
namespace dequantize_test {

std::string UpperName(DType type) {
  std::string name(Name(type));
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

TEST_CASE("dequantize: every type gives exactly the values of the gguf package",
          "[backend][dequantize]") {
  const auto file = SafetensorsFile::Open(SPARK_TEST_DATA "/gguf/blocks.safetensors");
  for (const DType type : kAllDTypes) {
    const std::string name = UpperName(type);
    CAPTURE(name);
    const SafetensorsTensor& blocks = file.Get(name + ".blocks");
    const std::vector<float> expected = file.ReadFloats(name + ".values");
    const size_t rows = blocks.shape[0];
    const size_t cols = expected.size() / rows;
    REQUIRE(RowBytes(type, cols) == blocks.shape[1]);
    std::vector<float> values(expected.size());
    for (size_t row = 0; row < rows; ++row) {
      DequantizeRow(type, blocks.data + row * blocks.shape[1], cols, &values[row * cols]);
    }
    size_t different = 0;  // in any bit, so that -0 is not 0
    for (size_t i = 0; i < values.size(); ++i) {
      different += std::bit_cast<uint32_t>(values[i]) != std::bit_cast<uint32_t>(expected[i]);
    }
    CHECK(different == 0);
  }
}

// A matrix of zeros of 3 rows with two blocks each.
struct Zeros {
  explicit Zeros(DType type)
      : bytes(6 * Traits(type).block_bytes),
        weight{type, 3, 2 * Traits(type).block_elements, bytes.data()} {}
  std::vector<std::byte> bytes;
  Weight weight;
};

void Store(std::byte* at, F16 value) { std::memcpy(at, &value, 2); }

TEST_CASE("find non-finite: NaN and infinity in floats", "[backend][dequantize]") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {kNan, kInf, -kInf}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_K}) {
      Zeros zeros(type);
      CHECK_FALSE(FindNonFinite(zeros.weight));
      std::byte* at = &zeros.bytes[5 * Traits(type).block_bytes];
      if (type == DType::kF32 || type == DType::kQ8_K) std::memcpy(at, &bad, 4);
      if (type == DType::kF16) Store(at, ToF16(bad));
      const BF16 bf16 = ToBF16(bad);
      if (type == DType::kBF16) std::memcpy(at, &bf16, 2);
      CHECK(FindNonFinite(zeros.weight) == 5 * Traits(type).block_elements);
    }
  }
}

// q8_K has an f32 scale: see above.
TEST_CASE("find non-finite: scales and minima of blocks", "[backend][dequantize]") {
  const auto f16s_of = [](DType type) -> std::vector<size_t> {  // bytes into the block
    switch (type) {
      case DType::kQ8_0:
      case DType::kQ4_0:
      case DType::kQ5_0:
      case DType::kIQ4_NL:
      case DType::kIQ4_XS:
        return {0};
      case DType::kQ6_K:
        return {208};
      case DType::kQ2_K:
        return {80, 82};
      case DType::kQ3_K:
        return {108};
      default:
        return {0, 2};
    }
  };
  for (const DType type : kAllDTypes) {
    if (!IsQuantized(type) || type == DType::kQ8_K) continue;
    for (const size_t at : f16s_of(type)) {
      Zeros zeros(type);
      Store(&zeros.bytes[4 * Traits(type).block_bytes + at], static_cast<F16>(0x7E00));
      CAPTURE(Name(type), at);
      CHECK(FindNonFinite(zeros.weight) == 4 * Traits(type).block_elements);
    }
    // Quanta are never taken for floats: all their bits may be ones.
    Zeros ones(type);
    std::fill(ones.bytes.begin(), ones.bytes.end(), std::byte{0xFF});
    for (size_t block = 0; block < 6; ++block) {
      for (const size_t at : f16s_of(type)) {
        Store(&ones.bytes[block * Traits(type).block_bytes + at], ToF16(1.0f));
      }
    }
    CHECK_FALSE(FindNonFinite(ones.weight));
  }
}

}  // namespace dequantize_test
}  // namespace spark
