// What the tests of kernels share: every SIMD target in turn, random numbers, arrays at odd
// addresses, comparisons.
#ifndef SPARK_TESTS_BACKEND_KERNEL_TEST_H_
#define SPARK_TESTS_BACKEND_KERNEL_TEST_H_

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/bursts.h"
#include "backend/weight.h"
#include "base/half.h"
#include "spark/simd.h"
#include "tests/support/pinned_target.h"

namespace spark {

// Calls body(name) with each target of this machine pinned, and unpins. If the run is pinned to a
// target, with that one alone.
template <class Body>
void ForEachSimdTarget(const Body& body) {
  struct Unpin {
    ~Unpin() { PinSimdTarget("auto"); }
  } unpin;
  const std::string only = test::PinnedTarget();
  for (const std::string& target : only.empty() ? SimdTargets() : std::vector{only}) {
    PinSimdTarget(target);
    INFO("SIMD target " << target);
    body(target);
  }
}

// Targets that are emulated lane by lane, and runs that are told so because the whole machine is
// emulated: fewer sizes are enough there.
inline bool IsSlow(const std::string& target) {
  static const bool all = std::getenv("SPARK_FEWER_SIZES") != nullptr;
  return all || target == "SCALAR" || target == "EMU128";
}

// Widths of heads around every lane boundary.
inline std::vector<size_t> HeadDims(bool slow) {
  if (slow) return {8, 80};
  return {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 20, 31, 33, 64, 80, 96, 128, 256};
}

// As long as it lives, kernels of AVX3_ZEN4 ask for memory in the way that this machine does not.
class OtherBursts {
 public:
  OtherBursts() { asks_in_bursts = !before_; }
  ~OtherBursts() { asks_in_bursts = before_; }
  OtherBursts(const OtherBursts&) = delete;
  OtherBursts& operator=(const OtherBursts&) = delete;

 private:
  bool before_ = asks_in_bursts;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float Normal() { return normal_(engine_); }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  std::vector<float> Normals(size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = Normal();
    return x;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

// A copy of floats that starts 4 bytes behind a multiple of 64, so no vector load is aligned.
class Misaligned {
 public:
  // Not inlined: g++ 12 warns of sizes that no caller has otherwise.
  [[gnu::noinline]] explicit Misaligned(std::span<const float> x) : memory_(x.size() + 32) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    start_ = memory_.data() + (64 - address % 64) / sizeof(float) % 16 + 1;
    std::copy(x.begin(), x.end(), start_);
  }
  explicit Misaligned(size_t n) : Misaligned(std::vector<float>(n)) {}
  float* data() { return start_; }
  const float* data() const { return start_; }

 private:
  std::vector<float> memory_;
  float* start_;
};

// Largest |a - b| over the largest |b|.
inline double RelativeError(std::span<const float> a, std::span<const float> b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    if (!std::isfinite(a[i])) return INFINITY;
    error = std::max(error, std::abs(static_cast<double>(a[i]) - b[i]));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return size > 0 ? error / size : error;
}

// A weight matrix of random blocks: any bits are valid but those of the 16-bit scales, which are
// set to sizes that real weights have.
class RandomWeight {
 public:
  RandomWeight(DType type, size_t rows, size_t cols, Random& random) {
    const DTypeTraits& traits = Traits(type);
    const size_t n_blocks = rows * cols / traits.block_elements;
    bytes_.resize(n_blocks * traits.block_bytes + 1);
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(random.Below(256));
    std::byte* block = bytes_.data() + 1;  // a file promises no alignment
    weight_ = {type, rows, cols, block};
    for (size_t b = 0; b < n_blocks; ++b, block += traits.block_bytes)
      SetFloats(type, block, random);
  }
  const Weight& get() const { return weight_; }

 private:
  static void SetHalf(std::byte* place, float value) {
    const F16 half = ToF16(value);
    std::memcpy(place, &half, sizeof(half));
  }
  static void SetFloats(DType type, std::byte* block, Random& random) {
    const float value = 0.1f * random.Normal();
    if (type == DType::kF32 || type == DType::kQ8_K) {
      std::memcpy(block, &value, sizeof(value));
    } else if (type == DType::kF16) {
      SetHalf(block, value);
    } else if (type == DType::kBF16) {
      const BF16 half = ToBF16(value);
      std::memcpy(block, &half, sizeof(half));
    } else if (type == DType::kQ6_K) {
      SetHalf(block + 208, value * 0.01f);
    } else if (type == DType::kQ2_K) {
      SetHalf(block + 80, value * 0.1f);
      SetHalf(block + 82, 0.1f * random.Normal());
    } else if (type == DType::kQ3_K) {
      SetHalf(block + 108, value * 0.1f);
    } else {
      SetHalf(block, value * 0.1f);
      const bool minimum = type == DType::kQ4_1 || type == DType::kQ5_1 || type == DType::kQ4_K ||
                           type == DType::kQ5_K;
      if (minimum) SetHalf(block + 2, 0.1f * random.Normal());
    }
  }

  std::vector<std::byte> bytes_;
  Weight weight_;
};

}  // namespace spark

#endif  // SPARK_TESTS_BACKEND_KERNEL_TEST_H_
