#include "compress/keep_largest.h"

#include <algorithm>
#include <cstring>

#include "base/tiles.h"
#include "kv/channel_mask.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compress/keep_largest.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The bits of floats without a sign order as the floats do, so integers are compared.
using IntTag = hn::CappedTag<int32_t, 16>;

// How many of n numbers are at least `least`; n is a multiple of the lanes.
HWY_INLINE size_t CountFrom(const int32_t* x, size_t n, int32_t least) {
  const IntTag d;
  const auto bound = hn::Set(d, least);
  if constexpr (HWY_TARGET <= HWY_AVX3) {  // masks are registers: their bits are counted at once
    size_t count = 0;
    for (size_t j = 0; j < n; j += hn::Lanes(d)) {
      count += hn::CountTrue(d, hn::Ge(hn::Load(d, x + j), bound));
    }
    return count;
  }
  auto count = hn::Zero(d);  // minus the number
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    count = hn::Add(count, hn::VecFromMask(d, hn::Ge(hn::Load(d, x + j), bound)));
  }
  return static_cast<size_t>(-hn::ReduceSum(d, count));
}

// Which numbers stay: those of at least `least`, and the first `n_equal` of those one below it.
struct Threshold {
  int32_t least;
  size_t n_equal;
};

// By bisection over the bits, between `low`, which n_kept or more numbers reach, and `high`, which
// fewer reach. A bound that just n_kept reach ends it: mostly after about ten steps, at most 31.
HWY_INLINE Threshold FindThreshold(const int32_t* x, size_t n, size_t n_kept, int32_t largest) {
  int32_t low = 0, high = largest + 1;
  size_t reach_high = 0;
  while (high - low > 1) {
    const int32_t middle = low + (high - low) / 2;
    const size_t count = CountFrom(x, n, middle);
    if (count == n_kept) return {middle, 0};
    if (count > n_kept) {
      low = middle;
    } else {
      high = middle;
      reach_high = count;
    }
  }
  return {high, n_kept - reach_high};
}

// mask: bit j tells whether x[j] >= least, for j < n. Returns the sum of the others.
HWY_INLINE float SplitAt(const int32_t* x, size_t n, int32_t least, uint8_t* mask) {
  const IntTag d;
  const hn::Rebind<float, IntTag> df;
  const size_t lanes = hn::Lanes(d);
  const auto bound = hn::Set(d, least);
  auto sum = hn::Zero(df);
  std::memset(mask, 0, MaskBytes(n));
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = hn::Load(d, x + j);
    const auto stays = hn::Ge(v, bound);
    sum = hn::Add(sum, hn::BitCast(df, hn::IfThenZeroElse(stays, v)));
    uint8_t bits[8] = {};
    hn::StoreMaskBits(d, stays, bits);
    const unsigned both = bits[0] | static_cast<unsigned>(bits[1]) << 8;
    mask[j / 8] = static_cast<uint8_t>(mask[j / 8] | (both << (j % 8)));
    if (lanes > 8 && j / 8 + 1 < MaskBytes(n)) mask[j / 8 + 1] = static_cast<uint8_t>(both >> 8);
  }
  return hn::ReduceSum(df, sum);
}

float KeepLargestKernel(const float* numbers, size_t n, size_t n_kept, uint8_t* mask) {
  const IntTag d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN int32_t x[kMostNumbers + 16];
  std::memcpy(x, numbers, n * sizeof(float));
  // Zeros behind the last number are no larger than any, and no bit of the mask is theirs: they
  // count only for a threshold of 0, which is the lower bound without being counted.
  const size_t padded = RoundUp(n, lanes);
  std::fill(x + n, x + padded, 0);
  auto most = hn::Zero(d);
  for (size_t j = 0; j < padded; j += lanes) most = hn::Max(most, hn::Load(d, x + j));
  const Threshold threshold = FindThreshold(x, padded, n_kept, hn::ReduceMax(d, most));
  // `least` is 1 or more, so what lies behind the last number is not kept.
  uint8_t all[MaskBytes(kMostNumbers + 16)];
  float rest = SplitAt(x, padded, threshold.least, all);
  std::memcpy(mask, all, MaskBytes(n));
  size_t missing = threshold.n_equal;
  for (size_t j = 0; j < n && missing > 0; ++j) {
    if (x[j] != threshold.least - 1) continue;
    SetMaskBit(mask, j);
    rest -= numbers[j];
    --missing;
  }
  return std::max(rest, 0.0f);
}

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark {

HWY_EXPORT(KeepLargestKernel);

float KeepLargestOf(const float* x, size_t n, size_t n_kept, uint8_t* mask) {
  return HWY_DYNAMIC_DISPATCH(KeepLargestKernel)(x, n, n_kept, mask);
}

}  // namespace spark
#endif  // HWY_ONCE
