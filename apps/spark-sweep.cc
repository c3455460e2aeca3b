// spark-sweep: what compressing the KV cache costs and saves. Flags in, library calls, a folder
// out.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/console.h"
#include "apps/sweep_flags.h"
#include "apps/sweep_progress.h"
#include "spark/error.h"
#include "spark/simd.h"
#include "spark/version.h"

namespace spark {
namespace {

// What needs no model. Returns whether there was something.
bool PrintInformation(const SweepFlags& flags) {
  if (flags.version) {
    const std::string_view commit = GitCommit();
    WriteStdout(fmt::format("spark-sweep {}{}\n", Version(),
                            commit.empty() ? "" : fmt::format(" ({})", commit)));
  } else if (flags.list_kv_methods) {
    WriteStdout(ListKvMethods());
  } else if (flags.list_tasks) {
    WriteStdout(fmt::format("{}\n", fmt::join(SweepTaskNames(), "\n")));
  } else {
    return false;
  }
  return true;
}

Model LoadModel(const SweepFlags& flags) {
  const ProgressLine progress("loading the model");
  const std::string& path = flags.sweep.model_path;
  return path.empty() ? Model::LoadEmbedded(flags.model_options)
                      : Model::Load(path, flags.model_options);
}

SweepSummary Measure(const SweepFlags& flags) {
  PinSimdTarget(flags.simd_target);
  const Model model = LoadModel(flags);
  for (const size_t context : flags.sweep.contexts) {
    if (context <= model.info().context_length) continue;
    PrintMessage(
        fmt::format("warning: contexts of {} tokens exceed the {} that the model was "
                    "trained for",
                    context, model.info().context_length));
  }
  ProgressLine line("starting");
  return RunSweep(model, flags.sweep,
                  [&](const SweepProgress& progress) { return line.Update(SweepLine(progress)); });
}

int Run(int argc, const char* const* argv) {
  SweepFlags flags;
  if (const auto help = ParseSweepFlags(argc, argv, flags)) {
    WriteStdout(*help);
    return 0;
  }
  if (PrintInformation(flags)) return 0;
  const SweepSummary summary =
      flags.merge ? MergeSweeps(flags.folders, flags.sweep.out) : Measure(flags);
  for (const std::string& error : summary.errors) PrintMessage(error);
  PrintMessage(fmt::format("{}{} points measured, {} failed, {} were there; {}/report.html",
                           summary.interrupted ? "interrupted: " : "", summary.ok, summary.failed,
                           summary.skipped, flags.sweep.out));
  if (!flags.format.empty()) WriteStdout(SweepTable(flags.sweep.out, flags.format));
  if (summary.interrupted) return kExitInterrupted;
  return summary.failed > 0 ? kExitFailure : 0;
}

}  // namespace
}  // namespace spark

int main(int argc, char** argv) {
  spark::SetProgramName("spark-sweep");
  spark::InstallSignalHandlers();
  return spark::RunProgram([&] { return spark::Run(argc, argv); });
}
