#include "generate/session_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "compress/compressor.h"

namespace spark {
namespace {

// More threads than this is a typing error, and would only fail inside the OpenMP runtime.
constexpr int kMostThreads = 1024;

}  // namespace

int ThreadCount(int requested) {
  if (requested < 0 || requested > kMostThreads) {
    throw UsageError("out of range",
                     {.field = "threads",
                      .found = std::to_string(requested),
                      .allowed = fmt::format("1 to {}, or 0 for one a core", kMostThreads)});
  }
  if (requested > 0) return requested;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
}

CacheTypes TailTypes(const SessionOptions& options, bool compressed_later) {
  const auto tail = [&](CacheType type) {
    const DType stored = ToDType(type);
    const bool waits = compressed_later && (options.decode_interval > 0 || options.compress_turns);
    return waits && IsQuantized(stored) ? DType::kF16 : stored;
  };
  const DType keys = tail(options.cache_type_k);
  return {keys == DType::kQ4_0 ? DType::kQ8_0 : keys, tail(options.cache_type_v)};
}

size_t QueryWindow(const SessionOptions& options) {
  constexpr size_t kMostOfTurn = 128;
  const size_t most = options.compress_turns ? std::max(kMostOfTurn, options.decode_interval)
                                             : options.decode_interval;
  return std::min(options.plan.window(), most);
}

std::unique_ptr<Backend> MakeBackend(const SessionOptions& options, int threads) {
  if (options.backend == "reference") return MakeReferenceBackend();
  if (options.backend == "cpu") {
    return MakeCpuBackend({.threads = threads, .compute_f32 = options.compute_f32});
  }
  if (options.backend == "cuda") {
    return MakeCudaBackend({.device = options.device, .compute_f32 = options.compute_f32});
  }
  throw UsageError(
      "unknown backend",
      {.field = "--backend", .found = options.backend, .allowed = "cpu, reference, cuda"});
}

}  // namespace spark
