#include "tests/bench/probe.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "base/seconds.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/probe.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spark::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sum of n words, n a multiple of 8 vectors: nothing but loads counts.
uint64_t SumWords(const uint64_t* words, size_t n) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < n; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::Load(d, words + i));
    s1 = hn::Add(s1, hn::Load(d, words + i + lanes));
    s2 = hn::Add(s2, hn::Load(d, words + i + 2 * lanes));
    s3 = hn::Add(s3, hn::Load(d, words + i + 3 * lanes));
  }
  return hn::ReduceSum(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

// Twelve chains of fused multiply-adds, more than their latency times their rate. Returns the
// number of f32 operations; `out` keeps the compiler from leaving them out.
size_t FmaChains(size_t rounds, float* out) {
  const hn::ScalableTag<float> d;
  const auto m = hn::Set(d, *out);
  const auto b = hn::Set(d, 1e-9f);
  // From different numbers, or the compiler sees that the chains are one.
  const auto at = [&](int i) HWY_ATTR { return hn::Set(d, *out * static_cast<float>(i)); };
  auto a0 = at(0), a1 = at(1), a2 = at(2), a3 = at(3), a4 = at(4), a5 = at(5), a6 = at(6),
       a7 = at(7), a8 = at(8), a9 = at(9), a10 = at(10), a11 = at(11);
  for (size_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, m, b);
    a1 = hn::MulAdd(a1, m, b);
    a2 = hn::MulAdd(a2, m, b);
    a3 = hn::MulAdd(a3, m, b);
    a4 = hn::MulAdd(a4, m, b);
    a5 = hn::MulAdd(a5, m, b);
    a6 = hn::MulAdd(a6, m, b);
    a7 = hn::MulAdd(a7, m, b);
    a8 = hn::MulAdd(a8, m, b);
    a9 = hn::MulAdd(a9, m, b);
    a10 = hn::MulAdd(a10, m, b);
    a11 = hn::MulAdd(a11, m, b);
  }
  const auto low = hn::Add(hn::Add(a0, a1), hn::Add(hn::Add(a2, a3), hn::Add(a4, a5)));
  const auto high = hn::Add(hn::Add(a6, a7), hn::Add(hn::Add(a8, a9), hn::Add(a10, a11)));
  *out = hn::ReduceSum(d, hn::Add(low, high));
  return rounds * 12 * 2 * hn::Lanes(d);
}

}  // namespace spark::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spark::bench {
namespace {

HWY_EXPORT(SumWords);
HWY_EXPORT(FmaChains);

struct Unmap {
  void operator()(uint64_t* p) const { munmap(p, kProbeBytes); }
};

// Written once, so that every page is there.
std::unique_ptr<uint64_t[], Unmap> ProbeMemory() {
  void* p = mmap(nullptr, kProbeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  madvise(p, kProbeBytes, MADV_HUGEPAGE);
#endif
  std::memset(p, 1, kProbeBytes);
  return std::unique_ptr<uint64_t[], Unmap>(static_cast<uint64_t*>(p));
}

// The best of many passes: a neighbour on the memory, or a thread that wakes late, is no limit.
double MeasureBandwidth(int threads) {
  static const auto memory = ProbeMemory();
  const auto n_threads = static_cast<size_t>(threads);
  // Each thread a range of its own, as memory controllers like it best.
  const size_t words = kProbeBytes / sizeof(uint64_t) / n_threads / 4096 * 4096;
  std::vector<uint64_t> sums(n_threads * 8);  // a cache line each
  double best = 0;
  for (int pass = 0; pass < 16; ++pass) {
    const Clock::time_point start = Clock::now();
#pragma omp parallel num_threads(threads)
    {
      const auto part = static_cast<size_t>(omp_get_thread_num());
      sums[part * 8] += HWY_DYNAMIC_DISPATCH(SumWords)(memory.get() + part * words, words);
    }
    const auto bytes = static_cast<double>(words * n_threads * sizeof(uint64_t));
    best = std::max(best, bytes / SecondsSince(start));
  }
  return sums[0] == 0 ? 0 : best;
}

double MeasureFlops() {
  double best = 0;
  for (int pass = 0; pass < 8; ++pass) {
    float x = 0.5f;
    const Clock::time_point start = Clock::now();
    const size_t flops = HWY_DYNAMIC_DISPATCH(FmaChains)(2'000'000, &x);
    const double seconds = SecondsSince(start);
    if (x > 0) best = std::max(best, static_cast<double>(flops) / seconds);
  }
  return best;
}

}  // namespace

double ReadBandwidth(int threads) {
  struct Known {
    double bandwidth = 0;
    Clock::time_point when{};
  };
  static std::map<int, Known> all;
  Known& known = all[threads];
  if (known.bandwidth == 0 || SecondsSince(known.when) > kProbeSeconds) {
    known = {MeasureBandwidth(threads), Clock::now()};
  }
  return known.bandwidth;
}

double PeakFlops() {
  static const double peak = MeasureFlops();
  return peak;
}

}  // namespace spark::bench
#endif  // HWY_ONCE
