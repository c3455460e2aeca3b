#include "compress/registry.h"

#include <fmt/format.h>

#include "compress/spark.h"
#include "compress/think.h"
#include "spark/compression.h"

namespace spark {
namespace {

constexpr std::string_view kSparkPaper = "SparK, arXiv 2508.15212";
constexpr std::string_view kThinkPaper = "ThinK, arXiv 2407.21018";

std::vector<MethodInfo> MakeRegistry() {
  std::vector<MethodInfo> methods;
  methods.push_back(
      {.name = "spark",
       .argument = "R",
       .help =
           "prunes the share R of each key's channels, a different set for every token and head",
       .paper = kSparkPaper,
       .options = {{"window", "32", "last prompt queries that say which channels matter"},
                   {"recovery", "mean", "what a pruned channel counts as: mean, zero"},
                   {"keep", "0", "last prompt tokens whose keys stay whole"},
                   {"sinks", "0", "first prompt tokens whose keys stay whole"},
                   {"weights", "norm",
                    "norm: of the group's mean query (the paper); rms: over window and group"}},
       .make_channel = MakeSparkStage});
  methods.push_back(
      {.name = "think",
       .argument = "R",
       .help = "drops the share R of the key channels of a head, the same for all tokens",
       .paper = kThinkPaper,
       .options = {{"window", "32", "last prompt queries that say which channels matter"}},
       .make_channel = MakeThinkStage});
  return methods;
}

}  // namespace

std::span<const MethodInfo> Registry() {
  static const std::vector<MethodInfo> methods = MakeRegistry();
  return methods;
}

const MethodInfo* FindMethod(std::string_view name) {
  for (const MethodInfo& method : Registry()) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

std::string ListKvMethods() {
  std::string text = "none (or full)\n    keeps everything\n";
  for (const MethodInfo& method : Registry()) {
    text += fmt::format("{}{}{}  ({})\n    {}\n", method.name, method.argument.empty() ? "" : ":",
                        method.argument, method.paper, method.help);
    for (const OptionInfo& option : method.options) {
      text += fmt::format("    [{}={}]  {}\n", option.name, option.fallback, option.help);
    }
  }
  return text;
}

}  // namespace spark
