// spark-generate: text from a model with a compressed KV cache. Flags in, library calls, text out.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "apps/console.h"
#include "apps/conversation.h"
#include "apps/generate_flags.h"
#include "apps/generate_prompts.h"
#include "apps/generate_task.h"
#include "spark/compression.h"
#include "spark/gpu.h"
#include "spark/memory_plan.h"
#include "spark/saved_context.h"
#include "spark/simd.h"
#include "spark/statistics.h"
#include "spark/version.h"

namespace spark {
namespace {

std::string VersionText() {
  std::string text(Version());
  if (!GitCommit().empty()) text += fmt::format(" ({})", GitCommit());
  return text;
}

// What needs no model. Returns whether there was something.
bool PrintInformation(const GenerateFlags& flags) {
  if (flags.version) {
    WriteStdout(fmt::format("spark-generate {}\nSIMD targets: {}\n", VersionText(),
                            fmt::join(SimdTargets(), " ")));
  } else if (flags.list_kv_methods) {
    WriteStdout(ListKvMethods());
  } else if (flags.list_simd_targets) {
    WriteStdout(fmt::format("{}\n", fmt::join(SimdTargets(), "\n")));
  } else if (flags.list_devices) {
    WriteStdout(fmt::format("{}\n", fmt::join(GpuNames(), "\n")));
  } else {
    return false;
  }
  return true;
}

// What needs the model, but no session. Returns whether there was something.
bool PrintAboutModel(const GenerateFlags& flags, const Model& model) {
  if (flags.dry_run) {
    WriteStdout(ToText(PlanMemory(model, flags.session)));
  } else if (flags.render_chat) {
    WriteStdout(RenderedChat(flags, model));
  } else if (flags.tokenize) {
    WriteStdout(fmt::format("[{}]\n", fmt::join(PreparePrompts(flags, model).context.ids, ",")));
  } else {
    return false;
  }
  return true;
}

Model LoadModel(const GenerateFlags& flags) {
  const ProgressLine progress("loading the model");
  ModelOptions options = flags.model_options;
  // A dry run needs hyperparameters and sizes: the file is mapped, and no page of a matrix touched.
  if (flags.dry_run) options = {.use_mmap = true, .validate = false};
  return flags.model.empty() ? Model::LoadEmbedded(options) : Model::Load(flags.model, options);
}

// The context to begin with, if there is one; the session takes after it where flags don't say how.
std::optional<SavedContext> OpenSavedContext(GenerateFlags& flags) {
  if (!flags.load_cache) return std::nullopt;
  SavedContext saved = SavedContext::Open(*flags.load_cache);
  if (!flags.kv_given) flags.session.plan = saved.plan();
  if (!flags.cache_type_k_given) flags.session.cache_type_k = saved.cache_type_k();
  if (!flags.cache_type_v_given) flags.session.cache_type_v = saved.cache_type_v();
  return saved;
}

void PrintStatistics(const GenerateFlags& flags, Statistics statistics) {
  statistics.version = VersionText();
  if (flags.stats == "text") std::fputs(fmt::format("\n{}", ToText(statistics)).c_str(), stderr);
  if (flags.stats == "json") std::fputs(fmt::format("{}\n", ToJson(statistics)).c_str(), stderr);
}

// Returns the exit code.
int Converse(const GenerateFlags& flags, const Model& model, const Statistics& start) {
  ConversationTask task(flags, model, start);
  task.Run();
  PrintStatistics(flags, task.TakeStatistics());
  return task.interrupted() ? kExitInterrupted : 0;
}

int Run(int argc, const char* const* argv) {
  GenerateFlags flags;
  if (const auto help = ParseGenerateFlags(argc, argv, flags)) {
    WriteStdout(*help);
    return 0;
  }
  PinSimdTarget(flags.simd_target);
  if (PrintInformation(flags)) return 0;
  const bool on_gpu = flags.session.backend == "cuda";
  if (on_gpu && !flags.dry_run) GpuNames();  // throws if there is none, before anything is read

  const auto start = std::chrono::steady_clock::now();
  const Model model = LoadModel(flags);
  const std::chrono::duration<double> load_time = std::chrono::steady_clock::now() - start;
  if (PrintAboutModel(flags, model)) return 0;
  if (on_gpu && flags.stats == "text") {
    std::fputs(GpuText(PlanMemory(model, flags.session)).c_str(), stderr);
  }
  if (flags.conversation) {
    return Converse(flags, model, StartStatistics(flags, model, load_time.count()));
  }

  const std::optional<SavedContext> saved = OpenSavedContext(flags);
  const SavedContext* start_from = saved ? &*saved : nullptr;
  const Prompts prompts = PreparePrompts(flags, model, start_from);
  GenerateTask task(flags, model, StartStatistics(flags, model, load_time.count()));
  try {
    task.Run(prompts, start_from);
  } catch (const Interrupted&) {
    task.MarkInterrupted();
  }
  PrintStatistics(flags, task.TakeStatistics());
  return task.interrupted() ? kExitInterrupted : 0;
}

}  // namespace
}  // namespace spark

int main(int argc, char** argv) {
  spark::InstallSignalHandlers();
  return spark::RunProgram([&] { return spark::Run(argc, argv); });
}
