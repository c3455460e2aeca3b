// Scores of keys in lanes: queries are rounded, so kernels are compared with scalar code that
// rounds in the same way, and what that makes of a score with the reference.
#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "kv/store_parts.h"
#include "tests/backend/kernel_test.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace lane_scores_test {

// Integer sums are exact, and a score is made of them by a few operations in f32. Of few tokens and
// channels it may be ten times smaller than its terms.
constexpr double kScoreTolerance = 1e-5;

// Numbers rounded to `most` steps of the largest one.
struct Rounded {
  std::vector<int> steps;
  double step;
};
int Round(float x, float inverse) { return static_cast<int>(std::nearbyint(x * inverse)); }

Rounded RoundElements(std::span<const float> q, float most) {
  float largest = 0;
  for (const float x : q) largest = std::max(largest, std::abs(x));
  Rounded out{{}, static_cast<double>(largest) / most};
  for (const float x : q) out.steps.push_back(Round(x, largest > 0 ? most / largest : 0));
  return out;
}

// [groups of four channels, 16 patterns of signs]
Rounded RoundSums(std::vector<float> x) {
  x.resize((x.size() + 3) / 4 * 4);
  float largest = 0;
  for (size_t j = 0; j < x.size(); j += 4) {
    largest = std::max(
        largest, std::abs(x[j]) + std::abs(x[j + 1]) + std::abs(x[j + 2]) + std::abs(x[j + 3]));
  }
  const float inverse = largest > 0 ? 127 / largest : 0;
  Rounded out{{}, static_cast<double>(largest) / 127};
  for (size_t j = 0; j < x.size(); j += 4) {
    for (int pattern = 0; pattern < 16; ++pattern) {
      float sum = 0;
      for (size_t i = 0; i < 4; ++i) {
        const float term = x[j + i] * inverse;
        sum += (pattern >> i & 1) != 0 ? term : -term;
      }
      out.steps.push_back(Round(sum, 1));
    }
  }
  return out;
}

// A row's scores, and by how much each may be off.
struct Scores {
  std::vector<float> scores;
  std::vector<double> bounds;
};
Scores RoundedScores(const LaneStore& keys, std::span<const float> q, bool wide) {
  const size_t dim = keys.head_dim();
  const Rounded elements = RoundElements(q, wide ? 127 * 128 : 127);
  std::vector<float> filled(dim);
  for (size_t j = 0; j < dim; ++j) filled[j] = q[j] * keys.fill()[j];
  const Rounded sums = RoundSums(filled);
  Scores out;
  for (size_t t = 0; t < keys.size(); ++t) {
    double kept = 0, sizes = 0, plane = 0;
    for (size_t i = 0; i < keys.n_kept(); ++i) {
      kept += keys.Code(t, i) * elements.steps[keys.Channel(t, i)];
      sizes += std::abs(keys.Code(t, i));
    }
    for (size_t j = 0; j < dim; j += 4) {
      size_t pattern = 0;
      for (size_t i = 0; i < 4 && j + i < dim; ++i) {
        pattern |= static_cast<size_t>(keys.Positive(t, j + i)) << i;
      }
      plane += sums.steps[4 * j + pattern];
    }
    const double scale = keys.Scale(t), scalar = keys.Scalar(t);
    out.scores.push_back(
        static_cast<float>(scale * elements.step * kept + scalar * sums.step * plane));
    const double groups = static_cast<double>((dim + 3) / 4);
    out.bounds.push_back(0.5 * (scale * elements.step * sizes + scalar * sums.step * groups));
  }
  return out;
}

// With `wide`, one element of every row is so large that eight bits are too few for the others.
std::vector<float> RandomQueries(size_t group, size_t dim, bool wide, Random& random) {
  std::vector<float> q = random.Normals(group * dim);
  if (!wide) return q;
  for (size_t r = 0; r < group; ++r) {
    q[r * dim + random.Below(static_cast<uint32_t>(dim))] = random.Below(2) == 0 ? 160.0f : -160.0f;
  }
  return q;
}

void CheckScores(Backend& cpu, const KeyStore& keys, size_t group, bool wide, Random& random) {
  const auto& lanes = std::get<LaneStore>(keys);
  const size_t dim = lanes.head_dim(), n = lanes.size();
  const std::vector<float> q = RandomQueries(group, dim, wide, random);
  Misaligned in(q);
  std::vector<float> out(group * n + 1, 12345.0f), exact(group * n);
  cpu.Scores(in.data(), group, keys, out.data());
  MakeReferenceBackend()->Scores(q.data(), group, keys, exact.data());
  CHECK(out.back() == 12345.0f);
  INFO("D " << dim << " group " << group << " tokens " << n << " wide " << wide);
  const bool rounds = CurrentSimdTarget() != "SCALAR";  // which expands keys
  for (size_t r = 0; r < group; ++r) {
    Scores expected = RoundedScores(lanes, std::span(q).subspan(r * dim, dim), wide);
    const std::span got = std::span(out).subspan(r * n, n);
    const std::span<float> reference = std::span(exact).subspan(r * n, n);
    const std::span<const float> as_rounded = rounds ? std::span(expected.scores) : reference;
    CHECK(RelativeError(got, as_rounded) < kScoreTolerance);
    for (size_t t = 0; t < n; ++t) {
      const double error = std::abs(static_cast<double>(got[t]) - reference[t]);
      CHECK(error <= expected.bounds[t] * 1.001 + 1e-5 * std::abs(reference[t]));
    }
  }
}

TEST_CASE("scores from keys in lanes are those of rounded queries", "[backend][lanes]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(18);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const double ratio : {0.0, 0.3, 0.75, 0.8, 0.9}) {  // 0 to 3 channels before the quads
        for (const size_t group : {1, 2, 3, 4, 5, 8, 9}) {
          // In all places alike, or more and more of them in the first sixteen.
          const double halvings[] = {0, kHalvingOfModels, 0.08, 0.03};
          const double halving = halvings[random.Below(4)];
          INFO("ratio " << ratio << " halving " << halving);
          const size_t n = 1 + random.Below(70);
          const KeyStore keys = RandomLanes(n, dim, ratio, random, halving);
          CheckScores(*cpu, keys, group, false, random);
          // One of few channels is never that much larger than their mean.
          if (dim >= 16) CheckScores(*cpu, keys, group, true, random);
        }
      }
    }
  });
}

// The first kept channel of every token changes places with the last one: what a file may hold.
KeyStore OutOfOrder(const KeyStore& store) {
  const auto& lanes = std::get<LaneStore>(store);
  StoreParts parts = TakeApart(store);
  const std::span<const std::byte> tiles = parts.Find("tiles");
  std::vector<std::byte> swapped(tiles.begin(), tiles.end());
  const LaneLayout& layout = lanes.layout();
  const size_t last = lanes.n_kept() - 1;
  for (size_t t = 0; t < lanes.size(); ++t) {
    std::byte* tile = swapped.data() + t / LaneLayout::kTokens * layout.tile_bytes();
    const size_t a = layout.PlaceAt(t % LaneLayout::kTokens, 0);
    const size_t b = layout.PlaceAt(t % LaneLayout::kTokens, last);
    std::swap(tile[a], tile[b]);
    std::swap(tile[a + layout.CodeBehind(0)], tile[b + layout.CodeBehind(last)]);
  }
  for (StoreParts::Array& array : parts.arrays) {
    if (array.name == "tiles") array.bytes = swapped;
  }
  return MakeKeyStore(parts, lanes.head_dim(), lanes.size());
}

TEST_CASE("scores from lanes do not rest on the order of kept channels", "[backend][lanes]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 1});
    Random random(19);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const double ratio : {0.5, 0.8}) {
        INFO("ratio " << ratio);
        const KeyStore lanes = RandomLanes(70, dim, ratio, random, kHalvingOfModels);
        CheckScores(*cpu, OutOfOrder(lanes), 3, false, random);
        if (dim >= 16) CheckScores(*cpu, OutOfOrder(lanes), 3, true, random);
      }
    }
  });
}

}  // namespace lane_scores_test
}  // namespace spark
