// spark-bench: Google Benchmark's flags, and
//   --threads=N       of the benchmarks that share work among threads (default: one a core)
//   --simd-target=T   pins the kernels' instruction set
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "spark/error.h"
#include "spark/simd.h"
#include "spark/version.h"
#include "tests/bench/bench.h"
#include "tests/bench/probe.h"

namespace spark::bench {
namespace {

int g_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));

// What the running benchmark uses, by its name: dropped when another one starts.
struct Prepared {
  std::string name;
  Body body;
};

}  // namespace

int AllThreads() { return g_threads; }

void Register(const std::string& name, const std::function<Body()>& make, Timing timing) {
  static Prepared prepared;
  const auto run = [name, make](benchmark::State& state) {
    if (prepared.name != name) {
      prepared = {};
      prepared = {name, make()};
    }
    prepared.body(state);
  };
  auto* registered = benchmark::RegisterBenchmark(name.c_str(), run);
  timing == Timing::kManual ? registered->UseManualTime() : registered->UseRealTime();
}

void CountBytes(benchmark::State& state, double bytes, int threads, double tokens) {
  using benchmark::Counter;
  state.counters["bytes/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
  state.counters["of_read"] =
      Counter(bytes / ReadBandwidth(threads), Counter::kIsIterationInvariantRate);
  if (tokens > 0) {
    state.counters["s/token"] =
        Counter(tokens, Counter::kIsIterationInvariantRate | Counter::kInvert);
  }
}

void CountFlops(benchmark::State& state, double flops, int threads) {
  using benchmark::Counter;
  state.counters["flops/s"] = Counter(flops, Counter::kIsIterationInvariantRate);
  state.counters["of_fma"] =
      Counter(flops / (PeakFlops() * threads), Counter::kIsIterationInvariantRate);
}

// The machine's own figures as benchmarks: they come first, and others are compared with them.
void RegisterProbe() {
  for (const int threads : ThreadCounts()) {
    Register(fmt::format("Probe/read/T:{}", threads), [threads]() -> Body {
      return [threads](benchmark::State& state) {
        for (auto _ : state) benchmark::DoNotOptimize(ReadBandwidth(threads));
        state.counters["bytes/s"] = ReadBandwidth(threads);
      };
    });
  }
  Register("Probe/fma/T:1", []() -> Body {
    return [](benchmark::State& state) {
      for (auto _ : state) benchmark::DoNotOptimize(PeakFlops());
      state.counters["flops/s"] = PeakFlops();
    };
  });
}

namespace {

// Takes our own flags and leaves those for the library.
std::vector<char*> TakeFlags(int argc, char** argv) {
  constexpr std::string_view kThreads = "--threads=", kTarget = "--simd-target=";
  static char min_time[] = "--benchmark_min_time=0.1";  // hundreds of benchmarks; may be overridden
  std::vector<char*> rest = {argv[0], min_time};
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.starts_with(kThreads)) {
      g_threads = std::atoi(argv[i] + kThreads.size());
      if (g_threads < 1 || g_threads > 1024) throw UsageError("--threads: 1 to 1024");
    } else if (flag.starts_with(kTarget)) {
      PinSimdTarget(flag.substr(kTarget.size()));
    } else {
      rest.push_back(argv[i]);
    }
  }
  return rest;
}

int Run(int all_argc, char** all_argv) {
  std::vector<char*> flags = TakeFlags(all_argc, all_argv);
  int argc = static_cast<int>(flags.size());
  char** argv = flags.data();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("spark", std::string(Version()));
  benchmark::AddCustomContext("simd_target", CurrentSimdTarget());
  RegisterProbe();
  RegisterScores();
  RegisterValues();
  RegisterAttention();
  RegisterProducts();
  RegisterCompression();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace spark::bench

int main(int argc, char** argv) {
  try {
    return spark::bench::Run(argc, argv);
  } catch (const spark::Error& error) {
    std::cerr << "spark-bench: " << error.what() << '\n';
    return dynamic_cast<const spark::UsageError*>(&error) != nullptr ? 2 : 1;
  }
}
