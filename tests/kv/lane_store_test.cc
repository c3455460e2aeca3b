// Keys that lie in lanes read as what they were packed from, wherever tokens and channels end.
#include "kv/lane_store.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <numeric>

#include "kv/merge.h"
#include "kv/store_parts.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_stores.h"

namespace spark {
using test::ExpectError;

namespace lane_store_test {

constexpr size_t kDims[] = {1, 5, 8, 31, 32, 33, 64, 80, 96, 128, 255, 256};

// Every number of channels that can be left of a quad, around a quarter of them, and all.
std::vector<size_t> KeptCounts(size_t dim) {
  std::vector<size_t> counts = {1, dim};
  for (size_t i = 0; i < 4; ++i) counts.push_back(std::min(dim, dim / 5 + i));
  return counts;
}

// A pruned channel is off by the rounding of its scalar's share of the largest one, a kept one by
// half a step of its token's scale, which is the largest residual / 127; and by a scale's rounding.
void CheckRow(const LaneStore& store, const RandomRows& packed, size_t dim, size_t t) {
  std::vector<float> row(dim);
  store.ReadRow(t, row.data());
  const float largest = *std::max_element(packed.scalars.begin(), packed.scalars.end());
  const float step = store.Scale(t);
  std::vector<size_t> kept, want;
  for (size_t i = 0; i < store.n_kept(); ++i) {
    kept.push_back(store.Channel(t, i));
    CHECK((i == 0 || store.Place(t, i - 1) < store.Place(t, i)));
  }
  std::ranges::sort(kept);
  for (size_t j = 0; j < dim; ++j) {
    const float x = packed.rows[t * dim + j];
    if (MaskBit(packed.masks.data() + t * MaskBytes(dim), j)) {
      want.push_back(j);
      CHECK(std::abs(row[j] - x) <= 0.5f * step + 127 * step * 0x1p-11f + 1e-6f);
    } else {
      const float recovered = (x > 0 ? 1.0f : -1.0f) * packed.scalars[t] * packed.fill[j];
      CHECK(std::abs(row[j] - recovered) <=
            0x1p-11f * std::abs(recovered) + 0x1p-24f * largest * packed.fill[j] + 1e-6f);
    }
  }
  CHECK(kept == want);
}

void CheckSameRows(const KeyStore& store, const KeyStore& expected, size_t dim) {
  REQUIRE(Size(store) == Size(expected));
  std::vector<float> row(dim), want(dim);
  for (size_t t = 0; t < Size(store); ++t) {
    ReadRow(store, t, row.data());
    ReadRow(expected, t, want.data());
    CHECK(row == want);
  }
}

TEST_CASE("keys in lanes are recoveries and kept values", "[kv][lanes]") {
  Random random(41);
  for (const size_t dim : kDims) {
    for (const size_t kept : KeptCounts(dim)) {
      for (const size_t n : {1, 15, 16, 17, 33}) {
        const double ratio = 1 - (static_cast<double>(kept) - 0.5) / static_cast<double>(dim);
        const RandomRows rows = MakeRandomRows(n, dim, {ratio}, Recovery::kMean, random);
        INFO("D " << dim << " kept " << kept << " tokens " << n);
        const LaneStore store = LaneStore::Pack(rows.Input(n, dim), kept);
        REQUIRE(store.size() == n);
        for (size_t t = 0; t < n; ++t) CheckRow(store, rows, dim, t);
      }
    }
  }
}

TEST_CASE("the channels that most tokens keep have the first places", "[kv][lanes]") {
  Random random(47);
  for (const size_t n : {100, 5000}) {  // of many tokens, some are counted
    INFO("tokens " << n);
    const RandomMask mask{.ratio = 0.8, .halving = kHalvingOfModels};
    const RandomRows rows = MakeRandomRows(n, 64, mask, Recovery::kMean, random);
    const LaneStore store = LaneStore::Pack(rows.Input(n, 64), 13);
    std::vector<size_t> counts(64);
    for (size_t t = 0; t < n; ++t) {
      for (size_t i = 0; i < 13; ++i) ++counts[store.Place(t, i)];
    }
    size_t first_quarter = 0;
    for (size_t p = 0; p < 16; ++p) first_quarter += counts[p];
    CHECK(first_quarter > 7 * 13 * n / 10);
    if (n == 100) CHECK(std::ranges::is_sorted(counts, std::greater()));
  }
  const LaneStore alike = RandomLanes(1, 64, 0.0, random);  // all are kept: in order of channels
  for (size_t p = 0; p < 64; ++p) CHECK(alike.order()[p] == p);
}

TEST_CASE("the bytes of lanes are those of the tiles", "[kv][lanes]") {
  Random random(42);
  // 2 + 2 bytes of scale and scalar, 8 of signs, 13 + 13 of places and codes.
  const LaneStore small = RandomLanes(32, 64, 0.8, random);
  CHECK(small.n_kept() == 13);
  CHECK(small.layout().tile_bytes() == 16 * 38);
  CHECK(small.AllocatedBytes() == 32 * 38 + 2 * 4 + 64 + 64 * 4 + 2 * kReadSlack);
  const LaneStore wide = RandomLanes(16, 128, 0.8, random);  // 26 = 6 quads and two
  CHECK(wide.layout().tile_bytes() == 16 * (4 + 16 + 52));
  const LaneStore three = RandomLanes(16, 64, 0.9, random);  // 7: a quad and three, in a quad
  CHECK(three.layout().tile_bytes() == 16 * (4 + 8 + 16));
  for (const LaneStore* store : {&small, &wide, &three}) {
    CHECK(store->ValueBytes() + store->MaskPlaneBytes() + store->SignPlaneBytes() +
              store->ScalarBytes() ==
          store->AllocatedBytes());
  }
}

TEST_CASE("no scale of keys is too large or too small for lanes", "[kv][lanes]") {
  Random random(43);
  for (const float size : {1e-30f, 1e-6f, 1e6f}) {
    RandomRows rows = MakeRandomRows(20, 64, {0.8}, Recovery::kMean, random);
    for (float& x : rows.rows) x *= size;
    for (float& s : rows.scalars) s *= size;
    const LaneStore store = LaneStore::Pack(rows.Input(20, 64), 13);
    std::vector<float> row(64);
    for (size_t t = 0; t < 20; ++t) {
      store.ReadRow(t, row.data());
      for (const float x : row) CHECK(std::isfinite(x));
    }
  }
  RandomRows none = MakeRandomRows(3, 64, {0.8}, Recovery::kMean, random);
  std::fill(none.rows.begin(), none.rows.end(), 0.0f);
  std::fill(none.scalars.begin(), none.scalars.end(), 0.0f);
  const LaneStore zero = LaneStore::Pack(none.Input(3, 64), 13);
  std::vector<float> row(64, 1.0f);
  zero.ReadRow(2, row.data());
  CHECK(std::ranges::all_of(row, [](float x) { return x == 0; }));
}

TEST_CASE("selected lanes read as in the original", "[kv][lanes]") {
  Random random(44);
  for (const double ratio : {0.75, 0.8, 0.9, 0.5}) {
    const LaneStore store = RandomLanes(100, 80, ratio, random);
    for (const std::vector<uint32_t>& tokens :
         {std::vector<uint32_t>{99}, {0, 1, 17, 50, 98}, {3, 3, 3, 4}}) {
      const LaneStore some = store.Select(tokens);
      std::vector<float> row(80), want(80);
      for (size_t i = 0; i < tokens.size(); ++i) {
        some.ReadRow(i, row.data());
        store.ReadRow(tokens[i], want.data());
        CHECK(row == want);
      }
    }
  }
}

TEST_CASE("merged lanes keep their keys", "[kv][lanes][merge]") {
  Random random(45);
  const size_t dim = 64;
  RandomRows first = MakeRandomRows(40, dim, {0.8}, Recovery::kMean, random);
  RandomRows second = MakeRandomRows(21, dim, {0.8}, Recovery::kMean, random);
  for (const bool same_fill : {true, false}) {
    INFO("same fill " << same_fill);
    second.fill = first.fill;
    // Fills that differ by a factor are the same under scalars that make up for it.
    if (!same_fill) std::ranges::for_each(second.fill, [](float& f) { f *= 30; });
    const float largest = *std::max_element(first.scalars.begin(), first.scalars.end());
    first.scalars[0] = second.scalars[0] = largest + 1;  // so that the units are the same too
    const LaneStore a = LaneStore::Pack(first.Input(40, dim), 13);
    const LaneStore b = LaneStore::Pack(second.Input(21, dim), 13);
    CHECK(!std::ranges::equal(a.order(), b.order()));
    const LaneStore* stores[] = {&a, &b};
    const LaneStore joined = LaneStore::Concatenate(stores);
    REQUIRE(joined.size() == 61);
    CHECK(std::ranges::equal(joined.order(), b.order()));
    std::vector<float> row(dim), want(dim);
    for (size_t t = 0; t < 61; ++t) {
      const LaneStore& from = t < 40 ? a : b;
      joined.ReadRow(t, row.data());
      from.ReadRow(t < 40 ? t : t - 40, want.data());
      for (size_t i = 1; i < 13; ++i) CHECK(joined.Place(t, i - 1) < joined.Place(t, i));
      if (same_fill) {
        CHECK(row == want);
        continue;
      }
      for (size_t j = 0; j < dim; ++j) {  // a scalar is rounded again, and a residual to its step
        CHECK(std::abs(row[j] - want[j]) <=
              0x1p-10f * std::abs(want[j]) + joined.Scale(t) + 0x1p-10f * largest);
      }
    }
  }
}

// As files of version 3 have them, whose first kept channels are in quads.
TEST_CASE("lanes without an order have channels for places", "[kv][lanes]") {
  Random random(48);
  const size_t dim = 64, n = 20;
  const KeyStore store = RandomLanes(n, dim, 0.8, random);
  const auto& lanes = std::get<LaneStore>(store);
  StoreParts parts = TakeApart(store);
  std::vector<std::byte> tiles(parts.Find("tiles").begin(), parts.Find("tiles").end());
  for (size_t t = 0; t < n; ++t) {
    for (size_t i = 0; i < 13; ++i) {
      const size_t at = t / 16 * lanes.layout().tile_bytes() + lanes.layout().PlaceAt(t % 16, i);
      tiles[at] = static_cast<std::byte>(lanes.Channel(t, i));
    }
  }
  std::erase_if(parts.arrays, [](const StoreParts::Array& a) { return a.name == "order"; });
  for (StoreParts::Array& a : parts.arrays) {
    if (a.name == "tiles") a.bytes = tiles;
  }
  const KeyStore old = MakeKeyStore(parts, dim, n);
  CheckSameRows(old, store, dim);
}

TEST_CASE("lanes come back from their parts, and from no others", "[kv][lanes]") {
  Random random(46);
  const size_t dim = 64, n = 20;
  const KeyStore store = RandomLanes(n, dim, 0.9, random);  // 7 kept: the eighth place is empty
  const auto& lanes = std::get<LaneStore>(store);
  const StoreParts parts = TakeApart(store);
  const KeyStore again = MakeKeyStore(parts, dim, n);
  CheckSameRows(again, store, dim);
  const auto forged = [&](std::string_view array, const auto& change) {
    StoreParts other = parts;
    std::vector<std::byte> bytes;
    for (StoreParts::Array& a : other.arrays) {
      if (a.name != array) continue;
      bytes.assign(a.bytes.begin(), a.bytes.end());
      change(bytes);
      a.bytes = bytes;
    }
    MakeKeyStore(other, dim, n);
  };
  const auto set = [](size_t at, uint8_t value) {
    return [=](std::vector<std::byte>& bytes) { bytes[at] = std::byte{value}; };
  };
  const LaneLayout& layout = lanes.layout();
  ExpectError([&] { forged("kept", set(0, 65)); }, {"kept", "found 65", "0 to 64"});
  ExpectError([&] { forged("kept", set(0, 40)); }, {"tiles", "wrong length"});
  ExpectError([&] { forged("tiles", [](auto& b) { b.pop_back(); }); }, {"tiles", "wrong length"});
  ExpectError([&] { forged("fill", [](auto& b) { b.pop_back(); }); }, {"fill", "wrong length"});
  ExpectError([&] { forged("tiles", set(layout.PlaceAt(3, 2), 64)); },
              {"tiles", "token 3", "channel that there is not"});
  ExpectError([&] { forged("tiles", set(layout.tile_bytes() + layout.PlaceAt(15, 0), 200)); },
              {"tiles", "token 31", "channel that there is not"});  // behind the last token
  ExpectError([&] { forged("tiles", set(layout.PlaceAt(0, 7) + layout.CodeBehind(7), 1)); },
              {"tiles", "token 0", "no channel"});
  const auto first_place = static_cast<uint8_t>(lanes.Place(5, 0));
  ExpectError([&] { forged("tiles", set(layout.PlaceAt(5, 6), first_place)); },
              {"tiles", "token 5", "twice"});
  ExpectError([&] { forged("order", [](auto& b) { b.pop_back(); }); }, {"order", "wrong length"});
  ExpectError([&] { forged("order", set(3, 64)); }, {"order", "not every channel"});
  const uint8_t fifth = lanes.order()[4];
  ExpectError([&] { forged("order", set(3, fifth)); }, {"order", "not every channel"});
}

}  // namespace lane_store_test
}  // namespace spark
