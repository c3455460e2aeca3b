// Attention and scores of the CUDA backend against the reference: every store, every shape of head
// and group, lengths around every edge of tiles, blocks and splits.
#include <cmath>
#include <utility>

#include "tests/backend/kernel_test.h"
#include "tests/cuda/device_test.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace attention_test {

// f32 arithmetic on identical stored values: sums in another order, and exp of scores up to about
// 10 that carry their error.
constexpr double kScoreTolerance = 2e-6;
constexpr double kTolerance = 1e-5;

enum class Keys : uint8_t { kDense, kDropped, kSparse, kZero, kVarying, kCentred, kLanes };
constexpr Keys kKeys[] = {Keys::kDense,   Keys::kDropped, Keys::kSparse, Keys::kZero,
                          Keys::kVarying, Keys::kCentred, Keys::kLanes};
enum class Values : uint8_t { kDense, kZero, kConstant, kVarying };
constexpr Values kValues[] = {Values::kDense, Values::kZero, Values::kConstant, Values::kVarying};

SparseStore RandomCentred(DType type, size_t n, size_t dim, Random& random) {
  const std::vector<float> rows = random.Normals(n * dim), centre = random.Normals(dim);
  std::vector<uint8_t> masks(n * MaskBytes(dim));
  for (size_t t = 0; t < n; ++t)
    SetMaskBit(&masks[t * MaskBytes(dim)], random.Below(static_cast<uint32_t>(dim)));
  const std::vector<float> scalars(n, 0.5f), fill(dim, 1.0f);
  return SparseStore::Pack({.rows = rows.data(),
                            .stride = dim,
                            .n_tokens = n,
                            .head_dim = dim,
                            .masks = masks.data(),
                            .scalars = scalars,
                            .fill = fill,
                            .centre = centre},
                           type, Recovery::kMean);
}

KeyStore RandomKeys(Keys kind, DType type, size_t n, size_t dim, Random& random) {
  switch (kind) {
    case Keys::kDense:
      return RandomDense(type, n, dim, random);
    case Keys::kDropped:
      return RandomDropped(type, n, dim, random);
    case Keys::kSparse:
      return RandomSparse(type, n, dim, {0.8}, Recovery::kMean, random);
    case Keys::kZero:
      return RandomSparse(type, n, dim, {0.5}, Recovery::kZero, random);
    case Keys::kVarying:
      return RandomSparse(type, n, dim, {0, true}, Recovery::kMean, random);
    case Keys::kCentred:
      return RandomCentred(type, n, dim, random);
    case Keys::kLanes:
      break;
  }
  // 0, 1, 2 or 3 channels that no quad holds, and up to all of them kept.
  return RandomLanes(n, dim, 0.2 * random.Below(5), random);
}

ValueStore RandomValues(Values kind, DType type, size_t n, size_t dim, Random& random) {
  if (kind == Values::kDense) return RandomDense(type, n, dim, random);
  const Recovery recovery = kind == Values::kZero ? Recovery::kZero : Recovery::kConstant;
  return RandomSparse(type, n, dim, {0.5, kind == Values::kVarying}, recovery, random);
}

SegmentPtr RandomSegment(Keys keys, Values values, CacheTypes types, size_t n, size_t dim,
                         Random& random) {
  return std::make_shared<const Segment>(
      Segment{RandomKeys(keys, types.keys, n, dim, random),
              RandomValues(values, types.values, n, dim, random)});
}

void Append(LayerCache& layer, size_t n, Random& random) {
  const size_t count = n * layer.heads().size() * layer.head_dim();
  const std::vector<float> k = random.Normals(count), v = random.Normals(count);
  layer.Append(k.data(), v.data(), n);
}

void CheckAttend(Backend& device, const LayerCache& layer, size_t n, size_t group, Random& random,
                 float softcap = 0) {
  const size_t n_heads = layer.heads().size() * group;
  const ScoreScale scale{1.0f / std::sqrt(static_cast<float>(layer.head_dim())), softcap};
  const std::vector<float> q = random.Normals(n * n_heads * layer.head_dim());
  std::vector<float> expected(q.size());
  MakeReferenceBackend()->Attend(q.data(), n, n_heads, layer, scale, expected.data());
  OnDevice in(device, q), out(device, q.size());
  device.Attend(in, n, n_heads, layer, scale, out);
  INFO("D " << layer.head_dim() << " group " << group << " queries " << n << " tail "
            << layer.tail_size());
  CHECK(RelativeError(out.Read(), expected) < kTolerance);
}

DType RandomType(Random& random) { return kCacheTypes[random.Below(std::size(kCacheTypes))]; }

TEST_CASE("scores of every store and type match the reference", "[cuda]") {
  const auto device = MakeDevice();
  Random random(11);
  for (const size_t dim : {8, 33, 64, 80, 128, 256}) {
    for (const DType type : kCacheTypes) {
      for (const Keys kind : kKeys) {
        const size_t n = 1 + random.Below(140), group = 1 + random.Below(6);
        const KeyStore keys = RandomKeys(kind, type, n, dim, random);
        const std::vector<float> q = random.Normals(group * dim);
        std::vector<float> expected(group * n);
        MakeReferenceBackend()->Scores(q.data(), group, keys, expected.data());
        OnDevice in(*device, q), out(*device, group * n);
        device->Scores(in, group, keys, out);
        INFO("D " << dim << ' ' << Name(type) << " kind " << static_cast<int>(kind) << " tokens "
                  << n << " group " << group);
        CHECK(RelativeError(out.Read(), expected) < kScoreTolerance);
      }
    }
  }
}

// Tokens around tiles of 32, offsets every 64, four warps, and splits.
const std::vector<size_t> kLengths = {1,   2,   31,  32,  33,  63,  64,  65,  96,  127,
                                      128, 129, 160, 255, 256, 257, 511, 513, 1000};

TEST_CASE("sparse attention at every edge of tiles", "[cuda]") {
  const auto device = MakeDevice();
  Random random(12);
  size_t turn = 0;
  for (const size_t dim : {64, 80, 128, 256}) {
    for (const size_t group : {1, 3, 8}) {
      for (const size_t n : kLengths) {
        const Keys keys = kKeys[2 + turn % 5];
        const CacheTypes types{kCacheTypes[turn / 5 % 5], kCacheTypes[turn % 5]};
        LayerCache layer(1, dim, types);
        layer.heads()[0].context.push_back(
            RandomSegment(keys, kValues[turn % 4], types, n, dim, random));
        Append(layer, 1, random);
        INFO("kind " << static_cast<int>(keys) << " context " << n);
        CheckAttend(*device, layer, 1, group, random);
        ++turn;
      }
    }
  }
}

TEST_CASE("every store of keys beside every store of values, in every type", "[cuda]") {
  const auto device = MakeDevice();
  Random random(13);
  for (const DType key_type : kCacheTypes) {
    for (const DType value_type : kCacheTypes) {
      for (const Keys keys : kKeys) {
        const Values values = kValues[random.Below(4)];
        const CacheTypes types{key_type, value_type};
        LayerCache layer(1, 64, types);
        layer.heads()[0].context.push_back(RandomSegment(keys, values, types, 70, 64, random));
        Append(layer, 3, random);
        INFO(Name(key_type) << " keys " << static_cast<int>(keys) << ", " << Name(value_type)
                            << " values " << static_cast<int>(values));
        CheckAttend(*device, layer, 1, 2, random);
      }
    }
  }
}

// Heads with different numbers of segments of different lengths.
LayerCache MixedLayer(size_t n_heads, size_t dim, size_t n_context, size_t n_tail, Random& random) {
  LayerCache layer(n_heads, dim, {RandomType(random), RandomType(random)});
  for (size_t h = 0; h < n_heads && n_context > 0; ++h) {
    for (size_t i = 0; i <= h; ++i) {
      layer.heads()[h].context.push_back(RandomSegment(kKeys[random.Below(7)],
                                                       kValues[random.Below(4)], layer.types(),
                                                       n_context + 7 * i, dim, random));
    }
  }
  Append(layer, n_tail, random);
  return layer;
}

TEST_CASE("the tail is causal, and groups of any size share blocks", "[cuda]") {
  const auto device = MakeDevice();
  Random random(14);
  for (const size_t n : {1, 2, 5, 17, 33}) {
    for (const size_t before : {0, 1, 40}) {
      for (const size_t context : {0, 45}) {
        const size_t dim = n == 5 ? 96 : n == 17 ? 200 : 64;
        const LayerCache layer = MixedLayer(2, dim, context, before + n, random);
        INFO("tail before the queries " << before << " context " << context);
        CheckAttend(*device, layer, n, 1 + random.Below(9), random);
      }
    }
  }
}

TEST_CASE("soft caps and scores of any size", "[cuda]") {
  const auto device = MakeDevice();
  Random random(15);
  const LayerCache layer = MixedLayer(2, 64, 50, 20, random);
  CheckAttend(*device, layer, 1, 2, random, 5.0f);
  CheckAttend(*device, layer, 9, 2, random, 5.0f);

  std::vector<float> q = random.Normals(4 * 64);
  for (float& x : q) x *= 1e6f;  // each query sees one token
  std::vector<float> expected(q.size());
  MakeReferenceBackend()->Attend(q.data(), 1, 4, layer, {1.0f}, expected.data());
  OnDevice in(*device, q), out(*device, q.size());
  device->Attend(in, 1, 4, layer, {1.0f}, out);
  CHECK(RelativeError(out.Read(), expected) < kTolerance);
}

TEST_CASE("windows hide what they have left behind", "[cuda]") {
  const auto device = MakeDevice();
  Random random(16);
  const CacheTypes types{DType::kF16, DType::kQ8_0};
  // A tail that is a ring: batches, then tokens one by one, around its length.
  for (const size_t window : {5, 40}) {
    LayerCache layer(2, 64, types, types, window);
    for (const size_t n : {3, 1, 1, 50, 1, 1, 1, 7, 1, 1, 45, 1}) {
      Append(layer, n, random);
      INFO("window " << window);
      CheckAttend(*device, layer, n, 3, random);
      layer.Trim();
    }
  }
  // A packed context in a window, positions with and without gaps.
  for (const bool gaps : {false, true}) {
    LayerCache layer(1, 64, types, types, 60);
    std::vector<uint32_t> positions;
    for (uint32_t t = 0; t < 90; ++t) positions.push_back(gaps ? t + t / 3 : t + 20);
    Segment segment{RandomKeys(Keys::kSparse, DType::kF16, 90, 64, random),
                    RandomValues(Values::kDense, DType::kF16, 90, 64, random)};
    const size_t next = positions.back() + 1;
    segment.positions = TokenPositions(std::move(positions));
    std::vector<std::vector<SegmentPtr>> heads(1);
    heads[0].push_back(std::make_shared<const Segment>(std::move(segment)));
    layer.SetContext(std::move(heads), next, false);
    for (const size_t n : {1, 9, 1, 70}) {
      Append(layer, n, random);
      INFO("gaps " << gaps);
      CheckAttend(*device, layer, n, 3, random);
    }
  }
}

TEST_CASE("the result does not depend on the order of blocks, and is the same twice", "[cuda]") {
  const auto device = MakeDevice();
  Random random(17);
  const LayerCache layer = MixedLayer(2, 128, 300, 5, random);
  const std::vector<float> q = random.Normals(6 * 128);
  const auto run = [&] {
    OnDevice in(*device, q), out(*device, q.size());
    device->Attend(in, 1, 6, layer, {0.1f}, out);
    return out.Read();
  };
  const std::vector<float> first = run();
  CHECK(run() == first);
}

}  // namespace attention_test
}  // namespace spark
