#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "kv/kv_cache.h"
#include "spark/error.h"

namespace spark {
namespace stores_test {

std::vector<float> RandomFloats(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

// Half an ulp of a value below 2^k, relative to the value: 2^-11 for f16, 2^-8 for bf16.
float Rounding(DType type) {
  return type == DType::kF32 ? 0.0f : type == DType::kF16 ? 0x1p-11f : 0x1p-8f;
}

TEST_CASE("dense rows come back rounded to their type", "[kv]") {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const size_t dim : {1, 2, 7, 8, 15, 17, 64, 80}) {
      constexpr size_t kRows = 100;  // grows several times
      const size_t stride = dim + 3;
      const std::vector<float> rows = RandomFloats(kRows * stride, 1);
      DenseStore store(type, dim);
      store.Append(rows.data(), 40, stride);
      store.Append(rows.data() + 40 * stride, 60, stride);
      REQUIRE(store.size() == kRows);
      std::vector<float> row(dim);
      for (size_t t = 0; t < kRows; ++t) {
        store.ReadRow(t, row.data());
        for (size_t j = 0; j < dim; ++j) {
          const float want = rows[t * stride + j];
          CHECK(std::abs(row[j] - want) <= Rounding(type) * std::abs(want) + 1e-7f);
        }
      }
    }
  }
}

TEST_CASE("a truncated store goes on where it was cut", "[kv]") {
  const std::vector<float> rows = RandomFloats(10 * 4, 2);
  DenseStore store(DType::kF32, 4);
  store.Append(rows.data(), 10, 4);
  store.Truncate(3);
  store.Truncate(7);  // longer than it is: nothing
  CHECK(store.size() == 3);
  store.Append(rows.data() + 36, 1, 4);
  std::vector<float> row(4);
  store.ReadRow(3, row.data());
  CHECK(row == std::vector<float>(rows.begin() + 36, rows.end()));
}

TEST_CASE("reserved stores take exactly their rows and the slack", "[kv]") {
  DenseStore store(DType::kF16, 64);
  CHECK(store.AllocatedBytes() == 0);
  store.Reserve(1000);
  CHECK(store.AllocatedBytes() == 1000 * 128 + kReadSlack);
}

TEST_CASE("types that keys can't be stored in are refused", "[kv]") {
  CHECK_THROWS_AS(DenseStore(DType::kQ4_1, 64), Error);
  CHECK_THROWS_AS(SparseStore::Pack({}, DType::kQ6_K, Recovery::kMean), Error);
}

TEST_CASE("a sparse key is its kept values and signed fills", "[kv]") {
  for (const size_t dim : {4, 8, 10, 64, 80, 128}) {
    constexpr size_t kTokens = 5;
    const std::vector<float> keys = RandomFloats(kTokens * dim, 3);
    const size_t n_kept = dim / 4;
    std::vector<uint8_t> masks(kTokens * MaskBytes(dim));
    const auto kept = [&](size_t t, size_t j) { return (j + t) % dim < n_kept; };
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t j = 0; j < dim; ++j) {
        uint8_t& byte = masks[t * MaskBytes(dim) + j / 8];
        if (kept(t, j)) byte = static_cast<uint8_t>(byte | (1u << (j % 8)));
      }
    }
    // Scalars far beyond f16: only their shares of the largest are stored in 16 bits.
    const std::vector<float> scalars = {1e9f, 2e9f, 0.0f, 3e8f, 1e7f};
    std::vector<float> inv_sqrt_w(dim, 2e-9f);
    inv_sqrt_w[dim - 1] = 0;
    const SparseInput input{.rows = keys.data(),
                            .stride = dim,
                            .n_tokens = kTokens,
                            .head_dim = dim,
                            .masks = masks.data(),
                            .scalars = scalars,
                            .fill = inv_sqrt_w};
    for (const DType type : {DType::kF32, DType::kF16}) {
      for (const Recovery recovery : {Recovery::kMean, Recovery::kZero}) {
        const SparseStore store = SparseStore::Pack(input, type, recovery);
        CHECK((store.SignPlaneBytes() == 0) == (recovery == Recovery::kZero));
        CHECK((store.ScalarBytes() == 0) == (recovery == Recovery::kZero));
        std::vector<float> row(dim);
        for (size_t t = 0; t < kTokens; ++t) {
          store.ReadRow(t, row.data());
          for (size_t j = 0; j < dim; ++j) {
            const float key = keys[t * dim + j];
            const float fill = std::copysign(scalars[t] * inv_sqrt_w[j], key);
            const float want = kept(t, j) ? key : recovery == Recovery::kZero ? 0.0f : fill;
            CHECK(row[j] == Catch::Approx(want).epsilon(0x1p-10).margin(1e-6));
          }
        }
      }
    }
  }
}

TEST_CASE("dropped channels read as zero", "[kv]") {
  const std::vector<float> keys = RandomFloats(3 * 8, 4);
  DroppedKeyStore store({1, 6}, DType::kF32, 8);
  store.Append(keys.data(), 3, 8);
  std::vector<float> row(8);
  for (size_t t = 0; t < 3; ++t) {
    store.ReadRow(t, row.data());
    for (size_t j = 0; j < 8; ++j) {
      CHECK(row[j] == (j == 1 || j == 6 ? keys[t * 8 + j] : 0.0f));
    }
  }
}

}  // namespace stores_test
}  // namespace spark
