#include "compress/registry.h"

#include <fmt/format.h>

#include "compress/expected_attention.h"
#include "compress/observed_attention.h"
#include "compress/query_free.h"
#include "compress/snapkv.h"
#include "compress/spark.h"
#include "compress/spark_plus.h"
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
      {"centre", "none", "mean: the head's mean key is stored once, tokens as differences from it"},
      {"values", "0", "share of each value's channels that is pruned as well"},
      {"fill", "mean", "what a pruned value channel counts as: mean (of the token's), zero"},
      {"store", "cache",
       "type of kept key values: cache (--cache-type-k), f32, f16, bf16, q8_0, q4_0"}};
  own.insert(own.end(), std::begin(common), std::end(common));
  return own;
}

constexpr std::string_view kSparkPaper = "SparK, arXiv 2508.15212";
constexpr std::string_view kThinkPaper = "ThinK, arXiv 2407.21018";

constexpr std::string_view kBudget = "R or n=N";

// Options of every token stage that scores each head on its own.
std::vector<OptionInfo> WithHeads(std::vector<OptionInfo> options) {
  options.push_back({"heads", "even",
                     "even: every head of a layer keeps as many tokens; ada: they share one budget "
                     "by score (AdaKV, arXiv 2407.11550)"});
  options.push_back({"floor", "0.2", "share of its even budget that a head keeps under heads=ada"});
  return options;
}

void AddTokenMethods(std::vector<MethodInfo>& methods) {
  const OptionInfo window = {"window", "64", "last prompt queries that look; their tokens stay"};
  const OptionInfo kernel = {"kernel", "5", "neighbours over which attention is averaged, odd"};
  methods.push_back({.name = "snapkv",
                     .argument = kBudget,
                     .help = "removes tokens that the last prompt queries attend to least",
                     .paper = "SnapKV, arXiv 2404.14469",
                     .options = WithHeads({window, kernel}),
                     .make_token = MakeSnapKvStage});
  methods.push_back(
      {.name = "pyramidkv",
       .argument = kBudget,
       .help = "scores as snapkv; low layers keep more tokens, high ones fewer, R or N on average",
       .paper = "PyramidKV, arXiv 2406.02069",
       .options = WithHeads(
           {window, kernel, {"beta", "20", "the last layer keeps 1/beta of the average"}}),
       .make_token = MakePyramidKvStage});
  methods.push_back({.name = "streaming",
                     .argument = kBudget,
                     .help = "keeps the first and the most recent tokens",
                     .paper = "StreamingLLM, arXiv 2309.17453",
                     .options = {{"sinks", "4", "first prompt tokens that stay"}},
                     .make_token = MakeStreamingStage});
  methods.push_back({.name = "tova",
                     .argument = kBudget,
                     .help = "removes tokens that the last prompt token attends to least",
                     .paper = "TOVA, arXiv 2401.06104",
                     .options = WithHeads({}),
                     .make_token = MakeTovaStage});
  methods.push_back({.name = "h2o",
                     .argument = kBudget,
                     .help = "removes tokens that all later queries together attend to least",
                     .paper = "H2O, arXiv 2306.14048",
                     .options = WithHeads({}),
                     .make_token = MakeH2oStage});
  methods.push_back(
      {.name = "expected",
       .argument = kBudget,
       .help = "removes tokens that queries still to come are expected to attend to least",
       .paper = "Expected Attention, arXiv 2510.00636",
       .options = WithHeads({{"future", "512", "positions that queries to come are expected at"},
                             {"sinks", "4", "first prompt tokens that stay"}}),
       .make_token = MakeExpectedAttentionStage});
  methods.push_back({.name = "knorm",
                     .argument = kBudget,
                     .help = "removes tokens with the longest keys",
                     .paper = "arXiv 2406.11430",
                     .options = WithHeads({}),
                     .make_token = MakeKeyNormStage});
  methods.push_back({.name = "random",
                     .argument = kBudget,
                     .help = "removes tokens at random, others in every head",
                     .paper = "a baseline",
                     .options = {{"seed", "1", "another number, other tokens"}},
                     .make_token = MakeRandomStage});
}

std::vector<MethodInfo> MakeRegistry() {
  std::vector<MethodInfo> methods;
  AddTokenMethods(methods);
  methods.push_back(
      {.name = "spark",
       .argument = "R",
       .help =
           "prunes the share R of each key's channels, a different set for every token and head",
       .paper = kSparkPaper,
       .options = SparkOptionInfos(
           {{"layout", "auto",
             "of keys in 8 bits: lanes is fastest to decode, mask takes the fewest bytes, auto is "
             "lanes while a quarter of the channels or less are kept"}}),
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
      {.name = "spark-plus",
       .argument = "R",
       .help = "as many bytes as spark:R, for more channels in fewer bits: q8_0 or "
               "q4_0, centre=mean, sinks=4, weights=rms (docs/results.md)",
       .paper = "this project, after SparK",
       .options = {{"window", "32", "last prompt queries that say which channels matter"},
                   {"values", "0", "share of each value's channels that is pruned as well"},
                   {"fill", "mean", "what a pruned value channel counts as: mean, zero"}},
       .make_channel = MakeSparkPlusStage});
  methods.push_back(
      {.name = "think",
       .argument = "R",
       .help = "drops the share R of the key channels of a head, the same for all tokens",
       .paper = kThinkPaper,
       .options = {{"window", "32", "last prompt queries that say which channels matter"}},
       .make_channel = MakeThinkStage});
  for (MethodInfo& method : methods) {
    method.options.push_back({kLayersOption, "global",
                              "global: layers with a sliding window stay as they are; all: they "
                              "are compressed as well"});
  }
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
