#include "compress/registry.h"

#include <fmt/format.h>

#include "compress/spark.h"
#include "compress/think.h"
#include "spark/compression.h"

namespace spark {
namespace {

// Of all three forms of SparK; `own` come first.
std::vector<OptionInfo> SparkOptionInfos(std::vector<OptionInfo> own = {}) {
  const OptionInfo common[] = {
      {"window", "32", "last prompt queries that say which channels matter"},
      {"recovery", "mean", "what a pruned channel counts as: mean, zero, normal, exponential"},
      {"seed", "1", "of the samples of recovery=normal and exponential"},
      {"clip", "mean",
       "what a sample above the smallest kept contribution becomes: mean (of pruned), threshold"},
      {"keep", "0", "last prompt tokens that stay whole"},
      {"sinks", "0", "first prompt tokens that stay whole"},
      {"weights", "norm",
       "norm: of the group's mean query (the paper); rms: over window and group"},
      {"values", "0", "share of each value's channels that is pruned as well"},
      {"fill", "mean", "what a pruned value channel counts as: mean (of the token's), zero"},
      {"store", "cache",
       "type of kept key values: cache (--cache-type-k), f32, f16, bf16, q8_0, q4_0"}};
  own.insert(own.end(), std::begin(common), std::end(common));
  return own;
}

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
       .options = SparkOptionInfos(),
       .make_channel = MakeSparkStage});
  methods.push_back(
      {.name = "spark-group",
       .help = "SparK with 10 to 90 % of the channels kept by how few hold a key's contributions",
       .paper = kSparkPaper,
       .options = SparkOptionInfos(
           {{"threshold", "0.99", "share of the contributions that sorts keys into five groups"}}),
       .make_channel = MakeSparkGroupStage});
  methods.push_back(
      {.name = "spark-topp",
       .argument = "P",
       .help = "SparK with as many channels kept as hold the share P of a key's contributions",
       .paper = kSparkPaper,
       .options = SparkOptionInfos(),
       .make_channel = MakeSparkTopPStage});
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
