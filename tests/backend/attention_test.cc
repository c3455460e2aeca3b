#include <algorithm>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "tests/backend/kernel_test.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace attention_test {

// f32 arithmetic on identical stored values: products and sums differ in order only. Sums of up to
// 256 channels and 700 tokens keep well below sqrt(700) * 6e-8 of their size; attention adds exp,
// whose argument carries the error of a score of up to about 60 (scaled 10): 1e-5 with room.
constexpr double kScoreTolerance = 2e-6;
constexpr double kAttentionTolerance = 1e-5;

// Sparse keys meet queries of 16 bits (sparse_dots-inl.h): each of D products is off by up
// to 2^-16 of the largest query element times the key, at random. With D = 256 and normal queries,
// whose largest is about 4, that is sqrt(256) * 4 / 65536 / sqrt(3) = 6e-4 of a key element's
// size, beside scores of sqrt(256) = 16 such sizes: 4e-5, and a largest score of few tokens may be
// half of what is usual. In attention the error is that of a score up to 10.
constexpr double kRoundedScoreTolerance = 1e-4;
constexpr double kRoundedAttentionTolerance = 4e-4;

// Keys in lanes meet queries of 8 bits (lane_scores_test.cc tests their scores): an element of a
// normal row, whose largest is about 3, is off by 3 / 127 / sqrt(12) = 0.7 % of an element's size,
// and a score, which is of size 1 when it is scaled, by about twice that with the sums of signs.
// The largest error of some hundred scores is a few times as large, and that of a softmax weight.
constexpr double kLaneAttentionTolerance = 0.05;

// Softmax weights that meet q8_0 values are rounded to 16 bits of the largest one
// (code_values-inl.h): each is off by up to 2^-17 of it at random, so of 700 tokens the sum by
// sqrt(700 / 3) 2^-17 = 1e-4 of a value's size if all of them have the weight of the largest. x86
// without products of bytes rounds them to 15 bits (code_words-inl.h), off by twice as much.
constexpr double kRoundedWeightTolerance = 1e-4;
constexpr double kWordWeightTolerance = 2.5e-4;

double WeightTolerance() {
  const std::string target = CurrentSimdTarget();
  for (const char* of_words : {"SSE2", "SSSE3", "SSE4", "AVX2", "AVX3"}) {
    if (target == of_words) return kWordWeightTolerance;
  }
  return kRoundedWeightTolerance;
}

bool InLanes(const KeyStore& keys) { return std::holds_alternative<LaneStore>(keys); }
bool HasRoundedQueries(const KeyStore& keys) {
  const auto* sparse = std::get_if<SparseStore>(&keys);
  return sparse != nullptr && sparse->value_type() != DType::kF32;
}
template <class Is>  // a property of keys
bool AnyKeys(const LayerCache& layer, const Is& is) {
  for (const HeadCache& head : layer.heads()) {
    for (const SegmentPtr& segment : head.context) {
      if (is(segment->keys)) return true;
    }
  }
  return false;
}

bool HasRoundedWeights(const LayerCache& layer) {
  const auto is_q8 = [](const ValueStore& values) {
    const auto* dense = std::get_if<DenseStore>(&values);
    return dense != nullptr && dense->type() == DType::kQ8_0;
  };
  return std::ranges::any_of(layer.heads(), [&](const HeadCache& head) {
    return head.tail.values.type() == DType::kQ8_0 ||
           std::ranges::any_of(head.context, [&](const auto& s) { return is_q8(s->values); });
  });
}

void CheckScores(Backend& cpu, const KeyStore& keys, size_t dim, size_t group, Random& random) {
  const std::vector<float> q = random.Normals(group * dim);
  Misaligned in(q);
  std::vector<float> out(group * Size(keys) + 1, 12345.0f), expected(group * Size(keys));
  cpu.Scores(in.data(), group, keys, out.data());
  MakeReferenceBackend()->Scores(q.data(), group, keys, expected.data());
  CHECK(out.back() == 12345.0f);
  out.pop_back();
  INFO("D " << dim << " group " << group << " tokens " << Size(keys));
  const double tolerance = HasRoundedQueries(keys) ? kRoundedScoreTolerance : kScoreTolerance;
  CHECK(RelativeError(out, expected) < tolerance);
}

TEST_CASE("scores from dense and dropped stores match the reference", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(11);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const DType type : kCacheTypes) {
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
      for (const DType type : kCacheTypes) {
        for (const Recovery recovery : kRecoveries) {
          INFO(Name(type) << " recovery " << static_cast<int>(recovery));
          for (const double ratio : {0.3, 0.5, 0.8, 0.9}) {
            const size_t n = 1 + random.Below(70);
            INFO("ratio " << ratio);
            CheckScores(*cpu, RandomSparse(type, n, dim, {ratio}, recovery, random), dim, 3,
                        random);
          }
          const size_t n = 60 + random.Below(90);  // across tiles and offsets
          INFO("a different width for every token");
          CheckScores(*cpu, RandomSparse(type, n, dim, {0, true}, recovery, random), dim, 3,
                      random);
        }
      }
    }
  });
}

constexpr size_t kKeyKinds = 5, kValueKinds = 4;

KeyStore RandomKeys(size_t kind, DType type, size_t n, size_t dim, Random& random) {
  if (kind == 0) return RandomDense(type, n, dim, random);
  if (kind == 1) return RandomDropped(type, n, dim, random);
  if (kind == 4) return RandomLanes(n, dim, 0.8, random, kHalvingOfModels * random.Below(2));
  const Recovery recovery = random.Below(2) == 0 ? Recovery::kMean : Recovery::kZero;
  return RandomSparse(type, n, dim, {0.8, kind == 3}, recovery, random);
}

ValueStore RandomValues(size_t kind, DType type, size_t n, size_t dim, Random& random) {
  if (kind == 0) return RandomDense(type, n, dim, random);
  const Recovery recovery = kind == 1 ? Recovery::kZero : Recovery::kConstant;
  return RandomSparse(type, n, dim, {0.5, kind == 3}, recovery, random);
}

CacheTypes RandomTypes(Random& random) {
  return {kCacheTypes[random.Below(std::size(kCacheTypes))],
          kCacheTypes[random.Below(std::size(kCacheTypes))]};
}

// A layer with segments of every kind, of different lengths in each head, and a tail of n_tail.
LayerCache RandomLayer(size_t n_heads, size_t dim, size_t n_context, size_t n_tail,
                       CacheTypes types, Random& random) {
  LayerCache layer(n_heads, dim, types);
  for (size_t h = 0; h < n_heads; ++h) {
    const size_t n = n_context == 0 ? 0 : n_context + 5 * h;
    if (n == 0) continue;
    const size_t lengths[kKeyKinds] = {3, n / 2 + 1, n, n / 3 + 1, n / 2 + 3};
    for (size_t kind = 0; kind < kKeyKinds; ++kind) {
      const size_t length = lengths[kind];
      layer.heads()[h].context.push_back(std::make_shared<const Segment>(
          Segment{RandomKeys(kind, types.keys, length, dim, random),
                  RandomValues(random.Below(kValueKinds), types.values, length, dim, random)}));
    }
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
  cpu.Attend(in.data(), n, n_heads, layer, {scale}, out.data());
  MakeReferenceBackend()->Attend(q.data(), n, n_heads, layer, {scale}, expected.data());
  INFO("D " << layer.head_dim() << " group " << group << " queries " << n);
  const double tolerance = AnyKeys(layer, InLanes)             ? kLaneAttentionTolerance
                           : AnyKeys(layer, HasRoundedQueries) ? kRoundedAttentionTolerance
                           : HasRoundedWeights(layer)          ? WeightTolerance()
                                                               : kAttentionTolerance;
  CHECK(RelativeError({out.data(), q.size()}, expected) < tolerance);
}

TEST_CASE("attention matches the reference for every shape of head and group", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(13);
    for (const size_t dim : HeadDims(IsSlow(target))) {
      for (const size_t group : {1, 3, 4, 8, 9, 16}) {
        for (const size_t n : {1, 2, 5}) {
          const LayerCache layer =
              RandomLayer(2, dim, 9 + random.Below(70), n, RandomTypes(random), random);
          CheckAttend(*cpu, layer, n, group, random);
        }
      }
    }
  });
}

// Every store of keys beside every store of values, in every type; 130 tokens are three tiles.
TEST_CASE("attention matches the reference for every pair of stores", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 1});
    Random random(17);
    for (const DType key_type : kCacheTypes) {
      for (const DType value_type : kCacheTypes) {
        for (size_t pair = 0; pair < kKeyKinds * kValueKinds; ++pair) {
          const size_t keys = pair / kValueKinds, values = pair % kValueKinds;
          const size_t n_tokens = IsSlow(target) ? 70 : 130;
          const size_t dim = pair % 3 == 0 ? 33 : pair % 3 == 1 ? 64 : 128;
          LayerCache layer = RandomLayer(1, dim, 0, 5, {key_type, value_type}, random);
          layer.heads()[0].context.push_back(std::make_shared<const Segment>(
              Segment{RandomKeys(keys, key_type, n_tokens, dim, random),
                      RandomValues(values, value_type, n_tokens, dim, random)}));
          INFO(Name(key_type) << " keys " << keys << ", " << Name(value_type) << " values "
                              << values);
          CheckAttend(*cpu, layer, 1, 3, random);  // few rows
          CheckAttend(*cpu, layer, 5, 3, random);  // many
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
          const LayerCache layer =
              RandomLayer(3, 64, context, before + n, RandomTypes(random), random);
          INFO("tail before the queries " << before << " context " << context);
          CheckAttend(*cpu, layer, n, 3, random);
        }
      }
    }
  });
}

// Values in 8 bits are summed 64 tokens at a time, or 256, the last one of an odd number by itself;
// runs are of up to 512. Groups of 1 to 8 query rows are cut in every way.
TEST_CASE("values in 8 bits match the reference around every edge of a tile", "[backend]") {
  ForEachSimdTarget([&](const std::string& target) {
    const auto cpu = MakeCpuBackend({.threads = 1});
    Random random(19);
    for (const size_t dim : {32, 64, 128}) {
      for (const size_t tokens :
           {1, 2, 3, 15, 16, 17, 19, 63, 64, 65, 67, 130, 255, 256, 257, 258, 323, 511, 512, 513}) {
        if (IsSlow(target) && tokens > 258) continue;
        const CacheTypes types{DType::kBF16, DType::kQ8_0};
        const size_t group = 1 + random.Below(8);
        CheckAttend(*cpu, RandomLayer(1, dim, 0, tokens, types, random), 1, group, random);
      }
    }
  });
}

TEST_CASE("attention matches the reference however memory is asked for", "[backend]") {
  const auto cpu = MakeCpuBackend({.threads = 2});
  const OtherBursts other;
  Random random(20);
  for (const size_t dim : {33, 64, 128, 256}) {
    for (const DType type : {DType::kF16, DType::kQ8_0}) {
      CheckAttend(*cpu, RandomLayer(2, dim, 700, 5, {type, type}, random), 1, 3, random);
    }
  }
}

TEST_CASE("long contexts are cut into items without changing the result", "[backend]") {
  Random random(15);
  for (const size_t n : {1, 30}) {
    const CacheTypes types{n == 1 ? DType::kQ8_0 : DType::kF16, DType::kQ4_0};
    const LayerCache layer = RandomLayer(2, 64, 1500, n + 600, types, random);
    CheckAttend(*MakeCpuBackend({.threads = 2}), layer, n, 3, random);

    const std::vector<float> q = random.Normals(n * 6 * 64);
    std::vector<float> one(q.size()), five(q.size());
    MakeCpuBackend({.threads = 1})->Attend(q.data(), n, 6, layer, {0.125f}, one.data());
    MakeCpuBackend({.threads = 5})->Attend(q.data(), n, 6, layer, {0.125f}, five.data());
    CHECK(one == five);
  }
}

TEST_CASE("scores of any size do not overflow the softmax", "[backend]") {
  Random random(16);
  for (const size_t n : {1, 20}) {
    const LayerCache layer = RandomLayer(1, 16, 100, n, {DType::kF32, DType::kF32}, random);
    std::vector<float> q = random.Normals(n * 2 * 16);
    for (float& x : q) x *= 1e6f;
    std::vector<float> out(q.size()), expected(q.size());
    MakeCpuBackend({.threads = 1})->Attend(q.data(), n, 2, layer, {1.0f}, out.data());
    MakeReferenceBackend()->Attend(q.data(), n, 2, layer, {1.0f}, expected.data());
    CHECK(RelativeError(out, expected) < kAttentionTolerance);  // each query sees one token
  }
}

}  // namespace attention_test
}  // namespace spark
