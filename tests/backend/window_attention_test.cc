// Layers with a sliding window: what a token sees, in every order that tokens come in.
#include <algorithm>

#include "backend/backend.h"
#include "tests/backend/kernel_test.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace window_attention_test {

constexpr size_t kHeads = 2, kGroup = 3, kDim = 24;
constexpr double kTolerance = 1e-5;  // as in attention_test.cc

// Keys and values of some tokens, [n, kHeads, kDim] each.
struct Tokens {
  Tokens(size_t n, Random& random)
      : keys(random.Normals(n * kHeads * kDim)), values(random.Normals(n * kHeads * kDim)) {}
  const float* Key(size_t t) const { return keys.data() + t * kHeads * kDim; }
  const float* Value(size_t t) const { return values.data() + t * kHeads * kDim; }
  std::vector<float> keys, values;
};

// What the token at `position` gets from a layer that holds just what it sees, nothing masked.
std::vector<float> Expected(const Tokens& tokens, size_t window, size_t position, const float* q,
                            const ScoreScale& scale) {
  const size_t first = position < window ? 0 : position + 1 - window;
  LayerCache layer(kHeads, kDim, {DType::kF16, DType::kF16});
  layer.Append(tokens.Key(first), tokens.Value(first), position + 1 - first);
  std::vector<float> out(kHeads * kGroup * kDim);
  MakeReferenceBackend()->Attend(q, 1, kHeads * kGroup, layer, scale, out.data());
  return out;
}

TEST_CASE("a window moves over tokens that come one by one or in batches", "[backend][window]") {
  constexpr size_t kBatches[] = {5, 1, 1, 1, 40, 1, 1, 3, 1, 70, 1, 2, 1, 1};
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    const auto reference = MakeReferenceBackend();
    Random random(31);
    for (const size_t window : {1, 2, 7, 16, 33, 64, 65, 200}) {
      if (IsSlow(target) && window != 7) continue;
      const ScoreScale scale{0.2f, window % 2 == 0 ? 3.0f : 0.0f};
      const Tokens tokens(130, random);
      LayerCache layer(kHeads, kDim, {DType::kF16, DType::kF16}, {DType::kF16, DType::kF16},
                       window);
      size_t position = 0;
      for (const size_t n : kBatches) {
        layer.Append(tokens.Key(position), tokens.Value(position), n);
        const size_t width = kHeads * kGroup * kDim;
        const std::vector<float> q = random.Normals(n * width);
        std::vector<float> out(q.size()), plain(q.size());
        cpu->Attend(q.data(), n, kHeads * kGroup, layer, scale, out.data());
        reference->Attend(q.data(), n, kHeads * kGroup, layer, scale, plain.data());
        layer.Trim();
        INFO("window " << window << " at " << position << " + " << n);
        CHECK(RelativeError(out, plain) < kTolerance);
        for (size_t i = 0; i < n; ++i) {
          const auto expected = Expected(tokens, window, position + i, q.data() + i * width, scale);
          CHECK(RelativeError({plain.data() + i * width, width}, expected) < kTolerance);
        }
        position += n;
        CHECK(layer.tail_size() == std::min(position, window));
      }
      KvBytes bytes;
      layer.AddBytes(bytes);
      const size_t row = kHeads * 2 * kDim * sizeof(uint16_t);
      if (position >= window) CHECK(bytes.total() <= window * row + kHeads * 2 * 64);  // and slack
    }
  });
}

// A packed context of 150 tokens, of which every head kept some, leaves the window token by token.
TEST_CASE("a window leaves packed context behind", "[backend][window]") {
  constexpr size_t kContext = 150;
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    const auto reference = MakeReferenceBackend();
    Random random(32);
    for (const bool gaps : {false, true}) {
      for (const size_t n : {1, 9}) {
        if (IsSlow(target) && n == 1) continue;
        constexpr size_t kWindow = 100;
        LayerCache layer(kHeads, kDim, {DType::kF16, DType::kF16}, {DType::kF16, DType::kF16},
                         kWindow);
        std::vector<std::vector<SegmentPtr>> heads;
        for (size_t h = 0; h < kHeads; ++h) {
          std::vector<uint32_t> positions;
          for (uint32_t p = 0; p < kContext; ++p) {
            if (!gaps || random.Below(3) > 0) positions.push_back(p);
          }
          const size_t size = positions.size();
          heads.push_back({std::make_shared<const Segment>(
              Segment{RandomSparse(DType::kF16, size, kDim, {0.5, gaps}, Recovery::kMean, random),
                      RandomDense(DType::kF16, size, kDim, random), 0,
                      TokenPositions(std::move(positions))})});
        }
        layer.SetContext(heads, kContext, false);
        for (size_t position = kContext; position < 270; position += n) {
          const Tokens tokens(n, random);
          layer.Append(tokens.Key(0), tokens.Value(0), n);
          const std::vector<float> q = random.Normals(n * kHeads * kGroup * kDim);
          std::vector<float> out(q.size()), plain(q.size()), before(q.size());
          reference->Attend(q.data(), n, kHeads * kGroup, layer, {0.2f}, before.data());
          cpu->Attend(q.data(), n, kHeads * kGroup, layer, {0.2f}, out.data());
          layer.Trim();
          INFO("gaps " << gaps << " at " << position << " + " << n);
          CHECK(RelativeError(out, before) < kTolerance);
          const size_t first = position + n + 1 - kWindow;  // that the next token sees
          for (size_t h = 0; h < kHeads; ++h) {
            size_t seen = 0;
            for (const SegmentPtr& segment : layer.heads()[h].context) {
              seen += segment->size() - segment->positions.CountBefore(first);
            }
            const TokenPositions& all = heads[h][0]->positions;
            CHECK(seen == heads[h][0]->size() - all.CountBefore(first));
            CHECK(layer.heads()[h].context_size() <= seen + 64);
          }
        }
        CHECK(layer.heads()[0].context.empty());
      }
    }
  });
}

// The masks of packed tokens against a layer whose head lacks the tokens that are out of sight.
TEST_CASE("what is out of the window does not count", "[backend][window]") {
  Random random(33);
  const std::vector<uint32_t> positions = {3, 4, 9, 20, 21, 22, 40, 41, 58, 59};
  const DenseStore keys = RandomDense(DType::kF32, positions.size(), kDim, random);
  const DenseStore values = RandomDense(DType::kF32, positions.size(), kDim, random);
  for (const size_t window : {2, 19, 20, 21, 39, 40, 41, 60, 100}) {
    LayerCache layer(1, kDim, {DType::kF32, DType::kF32}, {DType::kF32, DType::kF32}, window);
    LayerCache plain(1, kDim, {DType::kF32, DType::kF32});
    layer.SetContext({{std::make_shared<const Segment>(Segment{keys.Slice(0, keys.size()),
                                                               values.Slice(0, values.size()), 0,
                                                               TokenPositions(positions)})}},
                     60, false);
    std::vector<uint32_t> seen;  // by a token at 60
    for (uint32_t t = 0; t < positions.size(); ++t) {
      if (positions[t] + window > 60) seen.push_back(t);
    }
    if (!seen.empty()) {
      plain.heads()[0].context.push_back(
          std::make_shared<const Segment>(Segment{keys.Select(seen), values.Select(seen)}));
    }
    const std::vector<float> token = random.Normals(kDim), q = random.Normals(kDim);
    layer.Append(token.data(), token.data(), 1);
    plain.Append(token.data(), token.data(), 1);
    std::vector<float> out(kDim), expected(kDim);
    MakeReferenceBackend()->Attend(q.data(), 1, 1, layer, {0.3f}, out.data());
    MakeReferenceBackend()->Attend(q.data(), 1, 1, plain, {0.3f}, expected.data());
    INFO("window " << window);
    CHECK(RelativeError(out, expected) < 1e-6);
  }
}

}  // namespace window_attention_test
}  // namespace spark
