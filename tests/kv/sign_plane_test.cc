#include "kv/sign_plane.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "kv/channel_mask.h"
#include "tests/support/random_stores.h"

namespace spark {
namespace sign_plane_test {

TEST_CASE("signs equal their definition and stay inside their bytes", "[kv]") {
  ForEachSimdTarget([&](const std::string&) {
    Random random(71);
    for (const size_t n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 80, 255, 256}) {
      std::vector<float> x = random.Normals(n);
      x[n / 2] = 0.0f;
      x[n / 3] = -0.0f;
      std::vector<uint8_t> bits(MaskBytes(n) + 1, 0xA5);
      PackSigns(Misaligned(x).data(), n, bits.data());
      INFO("n " << n);
      size_t wrong = 0;
      for (size_t j = 0; j < 8 * MaskBytes(n); ++j) {
        wrong += MaskBit(bits.data(), j) != (j < n && x[j] > 0) ? 1 : 0;
      }
      CHECK(wrong == 0);
      CHECK(bits.back() == 0xA5);
    }
  });
}

}  // namespace sign_plane_test
}  // namespace spark
