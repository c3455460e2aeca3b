#include "apps/sweep_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "apps/flag_parser.h"
#include "apps/sweep_lists.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr const char* kDescription =
    "Measures quality, bytes and speed of many ways to compress a model's KV cache.\n"
    "       spark-sweep merge DIR... -o DIR    puts the results of several folders into one";

constexpr const char* kFooter =
    R"(A sweep is every plan × cache types × context × task × threads; `none` is always among the plans.
Plans may have ranges, first-last+step: --kv spark:0.1-0.9+0.2,think:0.5,snapkv:0.5+spark:0.8

The folder gets results.jsonl (a line as each point ends), results.csv, report.html and config.json.
A sweep that was interrupted goes on where it was when it is started again; with longer lists it
measures what is new. --shard i/n does one of n equal parts, into a folder of its own; merge puts
them together.

stdout carries the table that --format asks for. Exit codes: 0 done, 1 failed or some points failed,
2 bad usage, 130 interrupted.)";

constexpr size_t kMostTokens = size_t{1} << 30;

void AddSweepFlags(FlagParser& parser, SweepFlags& flags) {
  SweepOptions& sweep = flags.sweep;
  parser.Group("What is measured");
  parser.Text("-m,--model", sweep.model_path,
              ".gguf, .safetensors, or a folder with config.json (default: the model inside)");
  parser.Value(
      "--kv", "LIST", "plans, with ranges: see --list-kv-methods", "",
      [&](const std::string&, const std::string& value) { sweep.plans = ExpandPlans(value); });
  parser.Value("--task", "LIST", fmt::format("{}", fmt::join(SweepTaskNames(), ", ")), "",
               [&](const std::string& flag, const std::string& value) {
                 sweep.tasks = SplitList(flag, value);
               });
  parser.Value("--context", "LIST", "tokens that are compressed", "1024",
               [&](const std::string& flag, const std::string& value) {
                 sweep.contexts = ParseNumbers(flag, value, 2, kMostTokens);
               });
  parser.Value("--cache-type-k", "LIST", "keys are stored as f32, f16, bf16, q8_0, q4_0; also -ctk",
               "f16", [&](const std::string& flag, const std::string& value) {
                 sweep.cache_types_k = ParseCacheTypes(flag, value);
               });
  parser.Value("--cache-type-v", "LIST", "values likewise; also -ctv", "f16",
               [&](const std::string& flag, const std::string& value) {
                 sweep.cache_types_v = ParseCacheTypes(flag, value);
               });
  parser.Value("-t,--threads", "LIST", "threads that compute", "one a core",
               [&](const std::string& flag, const std::string& value) {
                 sweep.threads.clear();
                 for (const size_t n : ParseNumbers(flag, value, 1, 1024)) {
                   sweep.threads.push_back(static_cast<int>(n));
                 }
               });
  parser.Group("Tasks");
  parser.Text("--text", sweep.text,
              "file whose tokens nll scores (default, for the model inside: generated stories)");
  parser.Number<size_t>("--continuation", sweep.continuation, 2, kMostTokens,
                        "tokens behind each context that nll scores");
  parser.Number<size_t>("--samples", sweep.samples, 1, 1'000'000,
                        "samples of a task, or segments of the text");
  parser.Number("-s,--seed", sweep.seed, uint64_t{0}, std::numeric_limits<uint64_t>::max(),
                "of the samples");
  parser.Switch("--query-aware", sweep.query_aware, "let the question be seen before compression");
  parser.Value("--depth", "LIST", "tokens in the cache when speed is measured", "4096",
               [&](const std::string& flag, const std::string& value) {
                 sweep.depths = ParseNumbers(flag, value, 1, kMostTokens);
               });
  parser.Number<size_t>("--depth-read", sweep.depth_read, 0, kMostTokens,
                        "tokens of a depth that are read, the rest copies of them; 0: all");
}

void AddRunFlags(FlagParser& parser, SweepFlags& flags) {
  SweepOptions& sweep = flags.sweep;
  parser.Group("Run");
  parser.Value("--shard", "I/N", "do part I of N", "1/1",
               [&](const std::string& flag, const std::string& value) {
                 ParseShard(flag, value, sweep.shard, sweep.n_shards);
               });
  parser.Choice("--backend", sweep.backend, {"cpu", "reference", "cuda"},
                "vector kernels, plain scalar code to compare with, or a GPU");
  parser.Number("--device", sweep.device, 0, 1023, "the GPU: see spark-generate --list-devices");
  parser.Choice("--compute", flags.compute, {"auto", "f32"},
                "multiply in what is fastest, or in f32");
  parser.Text("--simd-target", flags.simd_target, "instruction set, such as AVX2");
  parser.Number<size_t>("-b,--batch-size", sweep.batch_size, 1, 65536,
                        "tokens that pass through a layer together");
  parser.Switch("--no-mmap", flags.no_mmap, "read the model into memory");
  parser.Switch("--validate", flags.model_options.validate, "look for NaN and infinite weights");
  parser.Group("Output");
  parser.Text("-o,--output", sweep.out, "folder for the results");
  parser.Value("--format", "md|csv|jsonl|json", "print the table on stdout", "",
               [&](const std::string& flag, const std::string& value) {
                 CheckFormat(flag, value);
                 flags.format = value;
               });
  parser.Group("Information");
  parser.Switch("--list-kv-methods", flags.list_kv_methods, "print what --kv knows and stop");
  parser.Switch("--list-tasks", flags.list_tasks, "print what --task knows and stop");
  parser.Switch("--version", flags.version, "print the version and stop");
}

}  // namespace

std::optional<std::string> ParseSweepFlags(int argc, const char* const* argv, SweepFlags& flags) {
  FlagParser parser("spark-sweep", kDescription, kFooter);
  AddSweepFlags(parser, flags);
  AddRunFlags(parser, flags);
  parser.Alias("-ctk", "--cache-type-k");
  parser.Alias("-ctv", "--cache-type-v");
  const std::vector<const char*> rest = TakeMerge(argc, argv, flags);
  auto help = parser.Parse(static_cast<int>(rest.size()), rest.data());
  flags.model_options.use_mmap = !flags.no_mmap;
  flags.sweep.compute_f32 = flags.compute == "f32";
  const bool asks = flags.version || flags.list_kv_methods || flags.list_tasks;
  if (help || asks) return help;
  if (flags.sweep.out.empty()) throw UsageError("-o: a folder for the results is missing");
  if (flags.merge) {
    if (flags.folders.empty()) throw UsageError("merge: no folder given");
    return help;
  }
  if (flags.sweep.plans.empty()) throw UsageError("--kv: no plan given");
  if (flags.sweep.tasks.empty()) throw UsageError("--task: no task given");
  return help;
}

}  // namespace spark
