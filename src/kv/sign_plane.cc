#include "kv/sign_plane.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/sign_plane.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Signs(const float* in, size_t n, uint8_t* bits) {
  const hn::CappedTag<float, 8> d;
  const size_t lanes = hn::Lanes(d);  // 1 to 8
  const auto zero = hn::Zero(d);
  for (size_t j = 0; j < n; j += 8) {
    unsigned byte = 0;
    for (size_t i = 0; i < std::min<size_t>(8, n - j); i += lanes) {
      uint8_t part[8] = {};  // as many as StoreMaskBits() may write
      hn::StoreMaskBits(d, hn::Gt(hn::LoadN(d, in + j + i, n - j - i), zero), part);
      byte |= static_cast<unsigned>(part[0]) << i;
    }
    bits[j / 8] = static_cast<uint8_t>(byte);
  }
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(Signs);

void PackSigns(const float* in, size_t n, uint8_t* bits) {
  HWY_DYNAMIC_DISPATCH(Signs)(in, n, bits);
}

}  // namespace spark
#endif  // HWY_ONCE
