// Stores of random rows, as policies would make them.
#ifndef SPARK_TESTS_SUPPORT_RANDOM_STORES_H_
#define SPARK_TESTS_SUPPORT_RANDOM_STORES_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "kv/kv_cache.h"
#include "tests/backend/kernel_test.h"

namespace spark {

inline constexpr DType kCacheTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0,
                                        DType::kQ4_0};
inline constexpr Recovery kRecoveries[] = {Recovery::kMean, Recovery::kZero, Recovery::kConstant};

inline DenseStore RandomDense(DType type, size_t n, size_t dim, Random& random) {
  DenseStore store(type, dim);
  store.Append(random.Normals(n * dim).data(), n, dim);
  return store;
}

inline DroppedKeyStore RandomDropped(DType type, size_t n, size_t dim, Random& random) {
  std::vector<uint16_t> channels;
  for (size_t j = 0; j < dim; ++j) {
    if (j == 0 || random.Below(2) == 0) channels.push_back(static_cast<uint16_t>(j));
  }
  DroppedKeyStore store(channels, type, dim);
  store.Append(random.Normals(n * dim).data(), n, dim);
  return store;
}

struct RandomMask {
  double ratio;         // floor(ratio * D) channels pruned of every token,
  bool varies = false;  // or of each as many as chance has it, 0 and D among them
  // 0: any of them alike. Else, as SparK has it, a token keeps those whose size times the channel's
  // weight is largest, and weights halve every D · halving channels, in an order of chance.
  double halving = 0;
};
// What SmolLM2 keeps of prose with spark:0.8: 0.48, 0.76, 0.90, 0.96 of it in the 8, 16, 24, 32
// most frequent of 64 channels. With this halving 0.42, 0.74, 0.92, 0.99.
inline constexpr double kHalvingOfModels = 0.19;

// What a store of sparse rows is packed from.
struct RandomRows {
  std::vector<float> rows, scalars, fill;
  std::vector<uint8_t> masks;
  SparseInput Input(size_t n, size_t dim) const {
    return {.rows = rows.data(),
            .stride = dim,
            .n_tokens = n,
            .head_dim = dim,
            .masks = masks.data(),
            .scalars = scalars,
            .fill = fill};
  }
};

inline RandomRows MakeRandomRows(size_t n, size_t dim, RandomMask mask, Recovery recovery,
                                 Random& random) {
  RandomRows out{.rows = random.Normals(n * dim),
                 .scalars = random.Normals(n),
                 .fill = std::vector<float>(dim, 1.0f),
                 .masks = std::vector<uint8_t>(n * MaskBytes(dim))};
  if (recovery == Recovery::kMean) {
    for (float& s : out.scalars) s = std::abs(s);
    for (float& f : out.fill) f = std::abs(random.Normal());
    out.fill[dim / 2] = 0;  // a channel without weight recovers as 0
  }
  std::vector<size_t> channels(dim);
  const auto draw = [&](size_t i) {
    std::swap(channels[i], channels[i + random.Below(static_cast<uint32_t>(dim - i))]);
  };
  std::vector<float> weights(dim);
  if (mask.halving > 0) {
    std::iota(channels.begin(), channels.end(), size_t{0});
    for (size_t i = 0; i < dim; ++i) {
      draw(i);
      const double halvings = static_cast<double>(i) / (mask.halving * static_cast<double>(dim));
      weights[channels[i]] = static_cast<float>(std::exp2(-halvings));
    }
  }
  for (size_t t = 0; t < n; ++t) {
    size_t kept = dim - static_cast<size_t>(mask.ratio * static_cast<double>(dim));
    if (mask.varies) kept = random.Below(static_cast<uint32_t>(dim + 1));
    std::iota(channels.begin(), channels.end(), size_t{0});
    if (mask.halving > 0) {
      const float* row = out.rows.data() + t * dim;
      std::ranges::sort(channels, std::greater(),
                        [&](size_t j) { return std::abs(row[j]) * weights[j]; });
    }
    for (size_t i = 0; i < kept; ++i) {
      if (mask.halving == 0) draw(i);
      SetMaskBit(out.masks.data() + t * MaskBytes(dim), channels[i]);
    }
  }
  return out;
}

inline SparseStore RandomSparse(DType type, size_t n, size_t dim, RandomMask mask,
                                Recovery recovery, Random& random) {
  return SparseStore::Pack(MakeRandomRows(n, dim, mask, recovery, random).Input(n, dim), type,
                           recovery);
}

inline LaneStore RandomLanes(size_t n, size_t dim, double ratio, Random& random,
                             double halving = 0) {
  const RandomRows rows =
      MakeRandomRows(n, dim, {.ratio = ratio, .halving = halving}, Recovery::kMean, random);
  return LaneStore::Pack(rows.Input(n, dim),
                         dim - static_cast<size_t>(ratio * static_cast<double>(dim)));
}

}  // namespace spark

#endif  // SPARK_TESTS_SUPPORT_RANDOM_STORES_H_
