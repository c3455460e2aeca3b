// Select() takes packed rows over as they are, so it must equal reading the original's rows.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "tests/support/random_stores.h"

namespace spark {
namespace select_test {

// Each of n tokens with the same chance, ascending; never none.
std::vector<uint32_t> SomeTokens(size_t n, uint32_t one_in, Random& random) {
  std::vector<uint32_t> tokens;
  for (uint32_t t = 0; t < n; ++t) {
    if (random.Below(one_in) == 0) tokens.push_back(t);
  }
  if (tokens.empty()) tokens.push_back(static_cast<uint32_t>(n - 1));
  return tokens;
}

template <class Store>
void CheckSelect(const Store& store, size_t dim, Random& random) {
  for (const uint32_t one_in : {1, 2, 50}) {
    const std::vector<uint32_t> tokens = SomeTokens(store.size(), one_in, random);
    const Store selected = store.Select(tokens);
    REQUIRE(selected.size() == tokens.size());
    std::vector<float> row(dim), want(dim);
    size_t wrong = 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
      selected.ReadRow(i, row.data());
      store.ReadRow(tokens[i], want.data());
      if (row != want) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("selected rows of every store read as in the original", "[kv]") {
  Random random(61);
  for (const DType type : kCacheTypes) {
    for (const size_t dim : {1, 7, 33, 64, 80}) {
      const size_t n = 60 + random.Below(150);  // several times kOffsetTokens
      INFO(Name(type) << " D " << dim << " tokens " << n);
      CheckSelect(RandomDense(type, n, dim, random), dim, random);
      CheckSelect(RandomDropped(type, n, dim, random), dim, random);
      for (const Recovery recovery : kRecoveries) {
        for (const bool varies : {false, true}) {
          CheckSelect(RandomSparse(type, n, dim, {0.8, varies}, recovery, random), dim, random);
        }
      }
    }
  }
}

TEST_CASE("rows of differing width lie one after the other", "[kv]") {
  Random random(62);
  const SparseStore store = RandomSparse(DType::kQ4_0, 200, 80, {0, true}, Recovery::kZero, random);
  REQUIRE_FALSE(store.uniform());
  const std::byte* next = store.values();
  for (size_t t = 0; t < store.size(); ++t) {
    CHECK(store.Row(t) == next);
    next += PackedRowBytes(DType::kQ4_0, store.Kept(t));
  }
}

}  // namespace select_test
}  // namespace spark
