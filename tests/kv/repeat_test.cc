// A context that is made longer by copies of itself.
#include <catch2/catch_test_macros.hpp>

#include "tests/support/random_stores.h"

namespace spark {
namespace repeat_test {

constexpr size_t kTokens = 37, kDim = 24;

// Two segments a head, as sinks and the rest are.
LayerCache MakeLayer(const std::vector<KeyStore>& keys, size_t window = 0) {
  Random random(3);
  LayerCache layer(1, kDim, {DType::kF16, DType::kQ8_0}, {DType::kF16, DType::kQ8_0}, window);
  std::vector<std::vector<SegmentPtr>> heads(1);
  size_t n = 0;
  for (const KeyStore& store : keys) {
    std::vector<uint32_t> all(Size(store));
    std::iota(all.begin(), all.end(), 0u);
    Segment segment{std::visit([&](const auto& s) { return KeyStore(s.Select(all)); }, store),
                    RandomDense(DType::kQ8_0, Size(store), kDim, random)};
    heads[0].push_back(std::make_shared<const Segment>(std::move(segment)));
    n += Size(store);
  }
  layer.SetContext(std::move(heads), n, false);
  return layer;
}

using Rows = std::vector<std::vector<float>>;
Rows ReadAll(const LayerCache& layer, bool values) {
  Rows rows;
  for (const SegmentPtr& segment : layer.heads()[0].context) {
    for (size_t t = 0; t < segment->size(); ++t) {
      rows.emplace_back(kDim);
      values ? ReadRow(segment->values, t, rows.back().data())
             : ReadRow(segment->keys, t, rows.back().data());
    }
  }
  return rows;
}

TEST_CASE("a repeated context holds every token as often, in memory of its own", "[kv]") {
  Random random(1);
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    std::vector<std::vector<KeyStore>> contexts(4);
    contexts[0].emplace_back(RandomDense(type, kTokens, kDim, random));
    contexts[1].emplace_back(RandomDropped(type, kTokens, kDim, random));
    contexts[2].emplace_back(
        RandomSparse(type, kTokens, kDim, {0.5, true}, Recovery::kMean, random));
    contexts[3].emplace_back(RandomDense(type, 5, kDim, random));
    contexts[3].emplace_back(RandomSparse(type, kTokens, kDim, {0.7}, Recovery::kMean, random));
    for (const std::vector<KeyStore>& keys : contexts) {
      const LayerCache once = MakeLayer(keys);
      LayerCache layer = MakeLayer(keys);
      layer.RepeatContext(3);
      CHECK(layer.next_position() == 3 * once.next_position());
      for (const bool values : {false, true}) {
        const Rows rows = ReadAll(once, values);
        Rows found = ReadAll(layer, values);
        REQUIRE(found.size() == 3 * rows.size());
        Rows wanted;
        for (int i = 0; i < 3; ++i) wanted.insert(wanted.end(), rows.begin(), rows.end());
        // Segments repeat one by one, so tokens come in another order where there are several.
        std::ranges::sort(wanted);
        std::ranges::sort(found);
        CHECK((found == wanted));  // hundreds of rows: not to be printed
      }
      KvBytes bytes;
      layer.AddBytes(bytes);
      CHECK(bytes.values >= layer.next_position() * PackedRowBytes(DType::kQ8_0, kDim));
    }
  }
}

}  // namespace repeat_test
}  // namespace spark
