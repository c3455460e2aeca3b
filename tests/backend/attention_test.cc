#include <algorithm>
#include <numeric>

#include "backend/backend.h"
#include "tests/backend/kernel_test.h"

namespace spark {
namespace {

DenseStore RandomDense(DType type, size_t n, size_t dim, Random& random) {
  DenseStore store(type, dim);
  store.Append(random.Normals(n * dim).data(), n, dim);
  return store;
}

// Random masks with floor(ratio * D) channels pruned, as a policy would hand them over.
SparseStore RandomSparse(DType type, size_t n, size_t dim, double ratio, Recovery recovery,
                         Random& random) {
  const size_t kept = dim - static_cast<size_t>(ratio * static_cast<double>(dim));
  const std::vector<float> keys = random.Normals(n * dim);
  std::vector<float> scalars = random.Normals(n), inverse = random.Normals(dim);
  for (float& s : scalars) s = std::abs(s);
  for (float& w : inverse) w = std::abs(w);
  inverse[dim / 2] = 0;  // a channel without weight recovers as 0
  std::vector<uint8_t> masks(n * MaskBytes(dim));
  std::vector<size_t> channels(dim);
  for (size_t t = 0; t < n; ++t) {
    std::iota(channels.begin(), channels.end(), size_t{0});
    for (size_t i = 0; i < kept; ++i) {
      std::swap(channels[i], channels[i + random.Below(static_cast<uint32_t>(dim - i))]);
      uint8_t& byte = masks[t * MaskBytes(dim) + channels[i] / 8];
      byte = static_cast<uint8_t>(byte | (1u << (channels[i] % 8)));
    }
  }
  return SparseStore::Pack({.rows = keys.data(),
                            .stride = dim,
                            .n_tokens = n,
                            .head_dim = dim,
                            .masks = masks.data(),
                            .scalars = scalars,
                            .fill = inverse},
                           type, recovery);
}

DroppedKeyStore RandomDropped(DType type, size_t n, size_t dim, Random& random) {
  std::vector<uint16_t> channels;
  for (size_t j = 0; j < dim; ++j) {
    if (j == 0 || random.Below(2) == 0) channels.push_back(static_cast<uint16_t>(j));
  }
  DroppedKeyStore store(channels, type, dim);
  store.Append(random.Normals(n * dim).data(), n, dim);
  return store;
}

// f32 arithmetic on identical stored values: products and sums differ in order only. Sums of up to
// 256 channels and 700 tokens keep well below sqrt(700) * 6e-8 of their size; attention adds exp,
// whose argument carries the error of a score of up to about 60 (scaled 10): 1e-5 with room.
constexpr double kScoreTolerance = 2e-6;
constexpr double kAttentionTolerance = 1e-5;

void CheckScores(Backend& cpu, const KeyStore& keys, size_t dim, size_t group, Random& random) {
  const std::vector<float> q = random.Normals(group * dim);
  Misaligned in(q);
  std::vector<float> out(group * Size(keys) + 1, 12345.0f), expected(group * Size(keys));
  cpu.Scores(in.data(), group, keys, out.data());
  MakeReferenceBackend()->Scores(q.data(), group, keys, expected.data());
  CHECK(out.back() == 12345.0f);
  out.pop_back();
  INFO("D " << dim << " group " << group << " tokens " << Size(keys));
  CHECK(RelativeError(out, expected) < kScoreTolerance);
}

std::vector<size_t> HeadDims(bool slow) {
  if (slow) return {8, 80};
  return {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 20, 31, 33, 64, 80, 96, 128, 256};
}

TEST_CASE("scores from dense and dropped stores match the reference", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(11);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (const size_t group : {1, 3, 4, 9}) {
          const size_t n = 1 + random.Below(70);
          CheckScores(*cpu, RandomDense(type, n, dim, random), dim, group, random);
          CheckScores(*cpu, RandomDropped(type, n, dim, random), dim, group, random);
        }
      }
    }
  });
}

TEST_CASE("scores from channel-sparse stores match the reference", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(12);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (const double ratio : {0.3, 0.5, 0.8, 0.9}) {
          for (const Recovery recovery : {Recovery::kMean, Recovery::kZero}) {
            const size_t n = 1 + random.Below(70);
            INFO(Name(type) << " ratio " << ratio);
            CheckScores(*cpu, RandomSparse(type, n, dim, ratio, recovery, random), dim, 3, random);
          }
        }
      }
    }
  });
}

// A layer with segments of every kind, of different lengths in each head, and a tail of n_tail.
LayerCache RandomLayer(size_t n_heads, size_t dim, size_t n_context, size_t n_tail, DType type,
                       Random& random) {
  LayerCache layer(n_heads, dim, {type, type});
  for (size_t h = 0; h < n_heads; ++h) {
    const size_t n = n_context == 0 ? 0 : n_context + 5 * h;
    if (n == 0) continue;
    auto& context = layer.heads()[h].context;
    const auto values = [&](size_t count) { return RandomDense(type, count, dim, random); };
    context.push_back(
        std::make_shared<const Segment>(Segment{RandomDense(type, 3, dim, random), values(3)}));
    const Recovery recovery = h % 2 == 0 ? Recovery::kMean : Recovery::kZero;
    context.push_back(std::make_shared<const Segment>(
        Segment{RandomSparse(type, n, dim, 0.8, recovery, random), values(n)}));
    context.push_back(std::make_shared<const Segment>(
        Segment{RandomDropped(type, n / 2 + 1, dim, random), values(n / 2 + 1)}));
  }
  const std::vector<float> k = random.Normals(n_tail * n_heads * dim);
  const std::vector<float> v = random.Normals(n_tail * n_heads * dim);
  layer.Append(k.data(), v.data(), n_tail);
  return layer;
}

void CheckAttend(Backend& cpu, const LayerCache& layer, size_t n, size_t group, Random& random) {
  const size_t n_heads = layer.heads().size() * group;
  const float scale = 1.0f / std::sqrt(static_cast<float>(layer.head_dim()));
  const std::vector<float> q = random.Normals(n * n_heads * layer.head_dim());
  Misaligned in(q), out(q.size());
  std::vector<float> expected(q.size());
  cpu.Attend(in.data(), n, n_heads, layer, scale, out.data());
  MakeReferenceBackend()->Attend(q.data(), n, n_heads, layer, scale, expected.data());
  INFO("D " << layer.head_dim() << " group " << group << " queries " << n);
  CHECK(RelativeError({out.data(), q.size()}, expected) < kAttentionTolerance);
}

TEST_CASE("attention matches the reference for every shape of head and group", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(13);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const size_t group : {1, 3, 4, 8, 9, 16}) {
        for (const size_t n : {1, 2, 5}) {
          const DType type = n == 1 ? DType::kF16 : n == 2 ? DType::kBF16 : DType::kF32;
          const LayerCache layer = RandomLayer(2, dim, 9 + random.Below(70), n, type, random);
          CheckAttend(*cpu, layer, n, group, random);
        }
      }
    }
  });
}

TEST_CASE("attention is causal in the tail and sees the whole context", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(14);
    for (const size_t n : {1, 2, 3, 4, 5, 17, 64, 65, 150}) {
      if (IsSlow(target) && n > 20) continue;
      for (const size_t before : {0, 1, 70}) {
        for (const size_t context : {0, 40}) {
          const LayerCache layer = RandomLayer(3, 64, context, before + n, DType::kF16, random);
          INFO("tail before the queries " << before << " context " << context);
          CheckAttend(*cpu, layer, n, 3, random);
        }
      }
    }
  });
}

TEST_CASE("long contexts are cut into items without changing the result", "[backend]") {
  Random random(15);
  for (const size_t n : {1, 30}) {
    const LayerCache layer = RandomLayer(2, 64, 1500, n + 600, DType::kF16, random);
    CheckAttend(*MakeCpuBackend({.threads = 2}), layer, n, 3, random);

    const std::vector<float> q = random.Normals(n * 6 * 64);
    std::vector<float> one(q.size()), five(q.size());
    MakeCpuBackend({.threads = 1})->Attend(q.data(), n, 6, layer, 0.125f, one.data());
    MakeCpuBackend({.threads = 5})->Attend(q.data(), n, 6, layer, 0.125f, five.data());
    CHECK(one == five);
  }
}

TEST_CASE("scores of any size do not overflow the softmax", "[backend]") {
  Random random(16);
  for (const size_t n : {1, 20}) {
    const LayerCache layer = RandomLayer(1, 16, 100, n, DType::kF32, random);
    std::vector<float> q = random.Normals(n * 2 * 16);
    for (float& x : q) x *= 1e6f;
    std::vector<float> out(q.size()), expected(q.size());
    MakeCpuBackend({.threads = 1})->Attend(q.data(), n, 2, layer, 1.0f, out.data());
    MakeReferenceBackend()->Attend(q.data(), n, 2, layer, 1.0f, expected.data());
    CHECK(RelativeError(out, expected) < kAttentionTolerance);  // each query sees one token
  }
}

}  // namespace
}  // namespace spark
