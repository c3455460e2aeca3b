#include "kv/merge.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

namespace spark {
namespace merge_test {

constexpr size_t kDim = 12;  // masks have bits that mean nothing

std::vector<float> RandomFloats(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

DenseStore Dense(DType type, size_t n, unsigned seed) {
  DenseStore store(type, kDim);
  store.Append(RandomFloats(n * kDim, seed).data(), n, kDim);
  return store;
}

// Keeps every channel whose number is divisible by 3, and one more in odd tokens if not `uniform`.
SparseStore Sparse(DType type, Recovery recovery, size_t n, unsigned seed, float unit,
                   bool uniform = true) {
  const std::vector<float> rows = RandomFloats(n * kDim, seed);
  std::vector<uint8_t> masks(n * MaskBytes(kDim));
  std::vector<float> scalars(n);
  std::vector<float> fill(kDim);
  for (size_t t = 0; t < n; ++t) {
    for (size_t j = 0; j < kDim; j += 3) SetMaskBit(masks.data() + t * MaskBytes(kDim), j);
    if (!uniform && t % 2 == 1) SetMaskBit(masks.data() + t * MaskBytes(kDim), 1);
    scalars[t] = 0.5f + static_cast<float>(t) / 7;
  }
  for (size_t j = 0; j < kDim; ++j) fill[j] = unit;
  return SparseStore::Pack({.rows = rows.data(),
                            .stride = kDim,
                            .n_tokens = n,
                            .head_dim = kDim,
                            .masks = masks.data(),
                            .scalars = scalars,
                            .fill = fill},
                           type, recovery);
}

SegmentPtr Level1(KeyStore keys, ValueStore values) {
  return std::make_shared<const Segment>(Segment{std::move(keys), std::move(values), 1});
}

// Rows of all segments, in order.
template <class Part>
std::vector<std::vector<float>> Rows(std::span<const SegmentPtr> segments, Part part) {
  std::vector<std::vector<float>> rows;
  for (const SegmentPtr& segment : segments) {
    for (size_t t = 0; t < segment->size(); ++t) {
      ReadRow((*segment).*part, t, rows.emplace_back(kDim).data());
    }
  }
  return rows;
}

void CheckClose(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b,
                float tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t j = 0; j < kDim; ++j) {
      CHECK(std::abs(a[t][j] - b[t][j]) <= tolerance * (1 + std::abs(a[t][j])));
    }
  }
}

TEST_CASE("merged dense segments hold the same rows", "[kv][merge]") {
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0}) {
    const std::vector<SegmentPtr> segments = {Level1(Dense(type, 5, 1), Dense(type, 5, 2)),
                                              Level1(Dense(type, 1, 3), Dense(type, 1, 4)),
                                              Level1(Dense(type, 40, 5), Dense(type, 40, 6))};
    const std::vector<SegmentPtr> merged = {std::make_shared<const Segment>(Merge(segments))};
    CHECK(merged[0]->size() == 46);
    CHECK(merged[0]->level == 2);
    CHECK(Rows(merged, &Segment::keys) == Rows(segments, &Segment::keys));
    CHECK(Rows(merged, &Segment::values) == Rows(segments, &Segment::values));
  }
}

TEST_CASE("merged sparse segments keep values, and what they recover in another unit",
          "[kv][merge]") {
  // Fills that differ by one factor are the same under a scalar that makes up for it.
  for (const bool uniform : {true, false}) {
    for (const Recovery recovery : {Recovery::kMean, Recovery::kZero, Recovery::kConstant}) {
      for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0}) {
        CAPTURE(uniform, static_cast<int>(recovery), Name(type));
        std::vector<SegmentPtr> segments;
        for (unsigned i = 0; i < 3; ++i) {
          const size_t n = 70 * i + 3;
          segments.push_back(
              Level1(Sparse(type, recovery, n, i, 0.01f + 100 * static_cast<float>(i), uniform),
                     Sparse(type, recovery == Recovery::kMean ? Recovery::kConstant : recovery, n,
                            i + 9, 1, uniform)));
        }
        const std::vector<SegmentPtr> merged = {std::make_shared<const Segment>(Merge(segments))};
        // A scalar is rounded twice to its type.
        const float tolerance = type == DType::kF32 ? 1e-6f : 2e-3f;
        CheckClose(Rows(merged, &Segment::keys), Rows(segments, &Segment::keys), tolerance);
        CheckClose(Rows(merged, &Segment::values), Rows(segments, &Segment::values), tolerance);
        CHECK(std::get<SparseStore>(merged[0]->keys).uniform() == uniform);
      }
    }
  }
}

TEST_CASE("a scalar under another fill keeps the size of what it recovers", "[kv][merge]") {
  // Channels 1 and 2 are pruned; one fill doubles and one is halved.
  const auto store = [](std::vector<float> fill) {
    const std::vector<float> row = {5, 1, -1};
    const uint8_t mask = 1;
    const float scalar = 2;
    return SparseStore::Pack({.rows = row.data(),
                              .stride = 3,
                              .n_tokens = 1,
                              .head_dim = 3,
                              .masks = &mask,
                              .scalars = {&scalar, 1},
                              .fill = fill},
                             DType::kF32, Recovery::kMean);
  };
  const SparseStore old = store({1, 4, 1});
  const SparseStore newest = store({1, 2, 2});
  const std::vector<const SparseStore*> both = {&old, &newest};
  const SparseStore joined = SparseStore::Concatenate(both);
  std::vector<float> row(3);
  joined.ReadRow(0, row.data());
  const float scalar = 2 * std::sqrt((4.0f + 0.25f) / 2);  // s * rms(4/2, 1/2)
  CHECK(row[0] == 5);
  CHECK(row[1] == Catch::Approx(scalar * 2));
  CHECK(row[2] == Catch::Approx(-scalar * 2));
  // Nothing can stand for a channel of fill 0: it does not count, and no scalar becomes infinite.
  const SparseStore empty = store({0, 0, 2});
  const std::vector<const SparseStore*> with_empty = {&old, &empty};
  SparseStore::Concatenate(with_empty).ReadRow(0, row.data());
  CHECK(row[1] == 0);
  CHECK(row[2] == Catch::Approx(-2 * 0.5f * 2));
}

TEST_CASE("merged dropped segments read under the newest channels", "[kv][merge]") {
  const auto dropped = [](std::vector<uint16_t> channels, unsigned seed) {
    DroppedKeyStore store(std::move(channels), DType::kF16, kDim);
    store.Append(RandomFloats(4 * kDim, seed).data(), 4, kDim);
    return store;
  };
  const std::vector<SegmentPtr> segments = {
      Level1(dropped({0, 1, 2}, 1), Dense(DType::kF16, 4, 2)),
      Level1(dropped({1, 2, 5}, 3), Dense(DType::kF16, 4, 4))};
  const std::vector<SegmentPtr> merged = {std::make_shared<const Segment>(Merge(segments))};
  const auto was = Rows(segments, &Segment::keys);
  const auto is = Rows(merged, &Segment::keys);
  REQUIRE(is.size() == 8);
  for (size_t t = 0; t < 8; ++t) {
    for (size_t j = 0; j < kDim; ++j) {
      const bool kept = j == 1 || j == 2 || j == 5;
      CHECK(is[t][j] == (kept ? was[t][j] : 0));
    }
  }
}

TEST_CASE("segments merge in levels, and the context is left alone", "[kv][merge]") {
  HeadCache cache{{}, {}, {DenseStore(DType::kF16, kDim), DenseStore(DType::kF16, kDim)}};
  for (unsigned i = 0; i < 40; ++i) {
    cache.context.push_back(std::make_shared<const Segment>(
        Segment{Dense(DType::kF16, 2, i), Dense(DType::kF16, 2, i)}));
  }
  cache.base = cache.context;
  constexpr size_t kPasses = 1000;
  size_t most = 0;
  for (unsigned i = 0; i < kPasses; ++i) {
    cache.context.push_back(i % 2 == 0 ? Level1(Dense(DType::kF16, 1, i), Dense(DType::kF16, 1, i))
                                       : Level1(Sparse(DType::kF16, Recovery::kMean, 1, i, 1),
                                                Dense(DType::kF16, 1, i)));
    MergeGenerated(cache);
    most = std::max(most, cache.context.size() - 40);
  }
  CHECK(cache.context_size() == 80 + kPasses);
  CHECK(most <= 2 * 3 * (kMergeSegments - 1));  // two kinds, three levels
  CHECK(std::equal(cache.base.begin(), cache.base.end(), cache.context.begin()));
}

}  // namespace merge_test
}  // namespace spark
