// A layer of random heads, as token stages are given it.
#ifndef SPARK_TESTS_SUPPORT_TEST_LAYER_H_
#define SPARK_TESTS_SUPPORT_TEST_LAYER_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "compress/stage.h"

namespace spark::testing {

inline constexpr size_t kDim = 16;
inline constexpr size_t kGroup = 3;

inline std::vector<float> Normals(size_t n, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(n);
  std::generate(out.begin(), out.end(), [&] { return normal(random); });
  return out;
}

// A layer of random heads with the given numbers of tokens; owns what `context` points at.
struct TestLayer {
  TestLayer(const std::vector<size_t>& lengths, size_t window,
            RopeStyle style = RopeStyle::kHalfSplit) {
    rope.style = style;
    rope.dim = kDim;
    frequencies = RopeFrequencies(rope, {});
    const size_t longest = *std::max_element(lengths.begin(), lengths.end());
    context = {.heads = {},
               .layer = 1,
               .n_layers = 4,
               .next_position = longest,
               .rope = &rope,
               .rope_frequencies = frequencies};
    for (size_t h = 0; h < lengths.size(); ++h) {
      const auto seed = static_cast<uint32_t>(10 * h);
      // Heads that differ in how sharply they attend, so that a shared budget has a choice.
      keys.push_back(Normals(lengths[h] * kDim, seed + 1, 1 + static_cast<float>(h)));
      values.push_back(Normals(lengths[h] * kDim, seed + 2));
      queries.push_back(Normals(window * kGroup * kDim, seed + 3));
      context.heads.push_back({.keys = keys[h].data(),
                               .values = values[h].data(),
                               .n_tokens = lengths[h],
                               .head_dim = kDim,
                               .queries = queries[h].data(),
                               .window = window,
                               .group = kGroup,
                               .layer = 1,
                               .head = h});
    }
  }
  TestLayer(const TestLayer&) = delete;

  RopeConfig rope;
  std::vector<float> frequencies;
  std::vector<std::vector<float>> keys, values, queries;
  LayerContext context;
};

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_TEST_LAYER_H_
