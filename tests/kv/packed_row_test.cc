#include "kv/packed_row.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "base/half.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace packed_row_test {

constexpr size_t kSizes[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 80, 96, 256};
constexpr DType kQuantized[] = {DType::kQ8_0, DType::kQ4_0};

// What the vector code has to equal bit by bit: the definition in packed_row.h, an element a time.
// Zero is +0.
std::vector<std::byte> ScalarPack(DType type, const std::vector<float>& x) {
  const bool q8 = type == DType::kQ8_0;
  std::vector<std::byte> out(PackedRowBytes(type, x.size()));
  std::byte* codes = out.data() + PackedScaleBytes(type, x.size());
  for (size_t first = 0; first < x.size(); first += kScaleGroup) {
    const size_t end = std::min(first + kScaleGroup, x.size());
    float extreme = 0;
    for (size_t i = first; i < end; ++i) {
      if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
    }
    const float exact = q8 ? std::abs(extreme) / 127 : extreme / -8;
    const F16 stored = ToF16(std::clamp(exact, -65504.0f, 65504.0f) + 0.0f);
    std::memcpy(out.data() + first / kScaleGroup * 2, &stored, 2);
    const float scale = ToFloat(stored);
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (size_t i = first; i < end; ++i) {
      const float least = q8 ? -127 : -8, most = q8 ? 127 : 7;
      const int code = static_cast<int>(std::nearbyint(std::clamp(x[i] * inverse, least, most)));
      if (q8) {
        codes[i] = static_cast<std::byte>(code);
      } else {
        codes[i / 2] |= static_cast<std::byte>((code + 8) << (i % 2 * 4));
      }
    }
  }
  return out;
}

// Packed at an address that is no multiple of its elements' size where that is promised: codes and
// their scales.
struct Packed {
  Packed(DType type, std::vector<float> x)
      : bytes(PackedRowBytes(type, x.size()) + 8, std::byte{0x5A}),
        row(bytes.data() + (IsQuantized(type) ? 1 : 4)) {
    PackRow(type, Misaligned(x).data(), x.size(), row);
  }
  std::vector<std::byte> bytes;
  std::byte* row;
};

std::vector<float> Unpack(DType type, const std::byte* row, size_t n) {
  Misaligned out(n + 1);
  out.data()[n] = 12345.0f;
  UnpackRow(type, row, n, out.data());
  CHECK(out.data()[n] == 12345.0f);
  return {out.data(), out.data() + n};
}

// Largest error of an element of a group whose largest magnitude is `largest`.
//   f16, bf16: half an ulp of the element, 2^-11 and 2^-8 of it; f16 subnormals: 2^-25.
//   q8_0: half a step of largest/127, itself rounded to 2^-11: the extreme may land on 127.06,
//         where the clamp costs 0.06 steps, less than the half.
//   q4_0: half a step of largest/8, but a whole one where the extreme's opposite, code +8, becomes
//         +7; and 8 times the scale's rounding.
// A scale below 2^-14 is subnormal in f16 and off by up to 2^-25, times the code.
double LargestError(DType type, float x, float largest) {
  if (type == DType::kF32) return 0;
  if (type == DType::kF16) return std::abs(x) * 0x1p-11 + 0x1p-25;
  if (type == DType::kBF16) return std::abs(x) * 0x1p-8;
  const double codes = type == DType::kQ8_0 ? 127 : 8;
  const double step = largest / codes;
  const double subnormal = step < 0x1p-14 ? codes * 0x1p-25 : 0;
  return (type == DType::kQ8_0 ? 0.5 : 1.0) * step + codes * step * 0x1p-11 + subnormal;
}

TEST_CASE("packed rows come back within the error of their type", "[kv]") {
  Random random(51);
  for (const DType type : kCacheTypes) {
    for (const size_t n : kSizes) {
      for (const float size : {1e-5f, 1e-2f, 1.0f, 300.0f}) {
        std::vector<float> x = random.Normals(n);
        for (float& value : x) value *= size;
        const Packed packed(type, x);
        const std::vector<float> back = Unpack(type, packed.row, n);
        INFO(Name(type) << " n " << n << " size " << size);
        size_t wrong = 0;
        for (size_t i = 0; i < n; ++i) {
          const size_t first = i / kScaleGroup * kScaleGroup;
          float largest = 0;
          for (size_t k = first; k < std::min(n, first + kScaleGroup); ++k) {
            largest = std::max(largest, std::abs(x[k]));
          }
          const double error = std::abs(static_cast<double>(back[i]) - x[i]);
          if (!(error <= LargestError(type, x[i], largest))) ++wrong;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("vector packing equals the definition bit by bit", "[kv]") {
  ForEachSimdTarget([&](const std::string&) {
    Random random(52);
    for (const DType type : kQuantized) {
      for (const size_t n : kSizes) {
        for (const float size : {0.0f, 1e-30f, 1e-6f, 1e-3f, 1.0f, 3e4f, 1e7f, 1e37f}) {
          std::vector<float> x = random.Normals(n);
          for (float& value : x) value *= size;
          const Packed packed(type, x);
          const std::vector<std::byte> want = ScalarPack(type, x);
          INFO(Name(type) << " n " << n << " size " << size);
          CHECK(std::equal(want.begin(), want.end(), packed.row));
          const size_t behind = 1 + want.size();  // nothing is written there
          CHECK(std::all_of(packed.bytes.begin() + static_cast<std::ptrdiff_t>(behind),
                            packed.bytes.end(), [](std::byte b) { return b == std::byte{0x5A}; }));
        }
      }
    }
  });
}

TEST_CASE("rows of zeros and of numbers too small for a scale read as zero", "[kv]") {
  for (const DType type : kCacheTypes) {
    for (const size_t n : kSizes) {
      const Packed zeros(type, std::vector<float>(n));
      CHECK(Unpack(type, zeros.row, n) == std::vector<float>(n));
      if (!IsQuantized(type)) continue;
      const Packed tiny(type, std::vector<float>(n, -1e-30f));
      CHECK(Unpack(type, tiny.row, n) == std::vector<float>(n));
    }
  }
}

TEST_CASE("numbers too large for a scale become the largest that there are", "[kv]") {
  const std::vector<float> x = {3e38f, -3e38f, 1.0f};
  const Packed q8(DType::kQ8_0, x), q4(DType::kQ4_0, x);
  CHECK(Unpack(DType::kQ8_0, q8.row, 3) == std::vector<float>{127 * 65504.0f, -127 * 65504.0f, 0});
  CHECK(Unpack(DType::kQ4_0, q4.row, 3) == std::vector<float>{8 * 65504.0f, -7 * 65504.0f, 0});
}

TEST_CASE("the extreme element of a group is exact but for its scale", "[kv]") {
  for (const DType type : kQuantized) {
    std::vector<float> x(40, 0.25f);
    x[7] = -16;
    x[39] = 127.0f / 64;
    const Packed packed(type, x);
    const std::vector<float> back = Unpack(type, packed.row, x.size());
    CHECK(std::abs(back[7] + 16) <= 16 * 0x1p-11f);
    CHECK(std::abs(back[39] - x[39]) <= 2 * 0x1p-11f);
  }
}

}  // namespace packed_row_test
}  // namespace spark
