// How a run stores, computes and reports.
#include "apps/flag_parser.h"
#include "apps/generate_flags.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr const char* kDefaultPlan = "spark:0.5";

void AddCacheType(FlagParser& parser, const std::string& name, CacheType& type, bool& given,
                  const std::string& help) {
  parser.Value(name, "TYPE", help, std::string(Name(type)),
               [&type, &given](const std::string& flag, const std::string& value) {
                 type = ParseCacheType(value, flag);
                 given = true;
               });
}

}  // namespace

void AddCacheFlags(FlagParser& parser, GenerateFlags& flags) {
  SessionOptions& session = flags.session;
  session.plan = CompressionPlan::Parse(kDefaultPlan);
  parser.Group("KV cache");
  parser.Value("--kv", "PLAN", "how the context's cache is compressed: see --list-kv-methods",
               kDefaultPlan, [&flags](const std::string&, const std::string& value) {
                 flags.session.plan = CompressionPlan::Parse(value);
                 flags.kv_given = true;
               });
  AddCacheType(parser, "--cache-type-k", session.cache_type_k, flags.cache_type_k_given,
               "keys are stored as f32, f16, bf16, q8_0 or q4_0; also -ctk");
  AddCacheType(parser, "--cache-type-v", session.cache_type_v, flags.cache_type_v_given,
               "values likewise; also -ctv");

  constexpr size_t kMostTokens = size_t{1} << 30;
  parser.Number<size_t>("--decode-interval", session.decode_interval, 0, kMostTokens,
                        "compress questions and answers too, every N tokens; 0: they stay dense");
  parser.Number<size_t>("--prefill-chunk", session.prefill_chunk, 0, kMostTokens,
                        "compress the context in chunks of N tokens; 0: all at once");
  parser.Text("--save-cache", flags.save_cache, "write the compressed context to a file");
  parser.Text("--load-cache", flags.load_cache,
              "begin with such a file: it brings tokens, plan and cache types along");
}

void AddRunFlags(FlagParser& parser, GenerateFlags& flags) {
  SessionOptions& session = flags.session;
  parser.Group("Run");
  parser.Choice("--backend", session.backend, {"cpu", "reference", "cuda"},
                "vector kernels, plain scalar code to compare with, or a GPU");
  parser.Number("--device", session.device, 0, 1023, "the GPU: see --list-devices");
  parser.Choice("--compute", flags.compute, {"auto", "f32"},
                "multiply in what is fastest, or in f32");
  parser.Number("-t,--threads", session.threads, 1, 1024, "threads that compute", "one a core");
  parser.Text("--simd-target", flags.simd_target, "instruction set: see --list-simd-targets");
  parser.Number<size_t>("-b,--batch-size", session.batch_size, 1, 65536,
                        "tokens that pass through a layer together");
  parser.Switch("--no-mmap", flags.no_mmap, "read the model into memory");
  parser.Switch("--validate", flags.model_options.validate, "look for NaN and infinite weights");

  parser.Group("Output");
  parser.Choice("--stats", flags.stats, {"text", "json", "none"}, "statistics on stderr");
  parser.Text("--logits-out", flags.logits_out,
              "safetensors file for the logits of the questions' tokens, or the prompt's");
  parser.Switch("--tokenize", flags.tokenize, "print the ids of the prompt as JSON and stop");
  parser.Switch("--render-chat", flags.render_chat, "print the rendered chat prompt and stop");

  parser.Group("Information");
  parser.Switch("--dry-run", flags.dry_run, "print what memory the run would take and stop");
  parser.Switch("--list-kv-methods", flags.list_kv_methods, "print what --kv knows and stop");
  parser.Switch("--list-simd-targets", flags.list_simd_targets,
                "print what this machine runs, best first, and stop");
  parser.Switch("--list-devices", flags.list_devices, "print the GPUs of this machine and stop");
  parser.Switch("--version", flags.version, "print the version and stop");
}

}  // namespace spark
