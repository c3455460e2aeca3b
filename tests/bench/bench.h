// What the benchmarks share: names, sizes in and out of cache, counters.
//
// A name is KERNEL/what/D:64/G:3/cache or …/memory: 256 tokens that stay in the L1 or L2 cache, or
// at least 256 MiB that do not. Counters: bytes/s; `of_read`, these as a share of what the machine
// reads with as many threads (probe.h), over 1 in cache; s/token, seconds a token and KV head.
#ifndef SPARK_TESTS_BENCH_BENCH_H_
#define SPARK_TESTS_BENCH_BENCH_H_

#include <benchmark/benchmark.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/kv_cache.h"
#include "tests/support/random_stores.h"

namespace spark::bench {

inline constexpr size_t kMemoryBytes = size_t{256} << 20;  // what no cache holds
inline constexpr size_t kCacheTokens = 256;

enum class Place : bool { kCache, kMemory };
inline constexpr Place kPlaces[] = {Place::kCache, Place::kMemory};
inline const char* Name(Place place) { return place == Place::kCache ? "cache" : "memory"; }

int AllThreads();  // of --threads=N, by default one a core
inline std::vector<int> ThreadCounts() {
  return AllThreads() == 1 ? std::vector<int>{1} : std::vector<int>{1, AllThreads()};
}

// Registers a benchmark. `make` prepares it when it is about to run and returns its body, which is
// called again and again; what was prepared is kept until another one runs.
using Body = std::function<void(benchmark::State&)>;
enum class Timing : bool { kWall, kManual };  // kManual: the body calls SetIterationTime()
void Register(const std::string& name, const std::function<Body()>& make,
              Timing timing = Timing::kWall);

// Counters of a body that reads `bytes` a pass, for `tokens` tokens times KV heads (0: none).
void CountBytes(benchmark::State& state, double bytes, int threads, double tokens = 0);
// Of a body that does `flops` multiplications and additions a pass: flops/s, and `of_fma`, the
// share of what the threads' f32 multiply-adds reach.
void CountFlops(benchmark::State& state, double flops, int threads);

template <class Store>  // KeyStore or ValueStore
size_t AllocatedBytes(const Store& store) {
  return std::visit(
      [](const auto& s) {
        if constexpr (requires { s.AllocatedBytes(); }) {
          return s.AllocatedBytes();
        } else {
          return s.ValueBytes() + s.ChannelBytes();
        }
      },
      store);
}

// The store, or for kMemory enough copies of it, each in memory of its own.
template <class Store>
std::vector<Store> Copies(Store store, Place place) {
  std::vector<uint32_t> all(Size(store));
  std::iota(all.begin(), all.end(), 0u);
  const size_t n = place == Place::kCache ? 1 : kMemoryBytes / AllocatedBytes(store) + 1;
  std::vector<Store> copies;
  for (size_t i = 1; i < n; ++i) {
    copies.push_back(std::visit([&](const auto& s) { return Store(s.Select(all)); }, store));
  }
  copies.push_back(std::move(store));
  return copies;
}
inline size_t StoreTokens(Place place) { return place == Place::kCache ? kCacheTokens : 4096; }

// Each file registers its benchmarks.
void RegisterProbe();
void RegisterScores();
void RegisterValues();
void RegisterAttention();
void RegisterProducts();
void RegisterCompression();

}  // namespace spark::bench

#endif  // SPARK_TESTS_BENCH_BENCH_H_
