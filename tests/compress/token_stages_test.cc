// Token stages on heads of random numbers: budgets and corner cases. What kvpress keeps of a real
// context is checked in tests/generate/token_methods_test.cc.
#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "compress/registry.h"
#include "compress/stage.h"
#include "spark/compression.h"
#include "spark/error.h"
#include "tests/support/test_layer.h"

namespace spark {
namespace token_stages_test {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using testing::TestLayer;

using Kept = std::vector<std::vector<uint32_t>>;

Kept Select(const std::string& plan, const LayerContext& layer, int threads = 1) {
  return SelectTokens(*CompressionPlan::Parse(plan).token_stage(), layer, threads);
}

std::vector<size_t> Lengths(const Kept& kept) {
  std::vector<size_t> lengths;
  for (const auto& tokens : kept) lengths.push_back(tokens.size());
  return lengths;
}

std::vector<uint32_t> Range(uint32_t first, uint32_t end) {
  std::vector<uint32_t> numbers(end - first);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

std::vector<std::string> TokenMethods() {
  std::vector<std::string> names;
  for (const MethodInfo& method : Registry()) {
    if (method.make_token) names.emplace_back(method.name);
  }
  return names;
}

bool HasOption(const std::string& method, std::string_view name) {
  const std::vector<OptionInfo>& options = FindMethod(method)->options;
  return std::ranges::find(options, name, &OptionInfo::name) != options.end();
}

TEST_CASE("token stages keep their budget", "[tokens]") {
  const TestLayer layer({200, 200}, 200);
  for (const std::string& method : TokenMethods()) {
    INFO(method);
    CHECK(Lengths(Select(method + ":0.25", layer.context)) == std::vector<size_t>{150, 150});
    if (method == "pyramidkv") continue;  // layer 1 of 4 keeps more than the mean
    CHECK(Lengths(Select(method + ":n=70", layer.context)) == std::vector<size_t>{70, 70});
    CHECK(Lengths(Select(method + ":n=300", layer.context)) == std::vector<size_t>{200, 200});
    CHECK(Lengths(Select(method + ":0", layer.context)) == std::vector<size_t>{200, 200});
  }
}

TEST_CASE("heads with a shared budget keep it to the token", "[tokens]") {
  const TestLayer layer({300, 300, 300}, 300);
  for (const std::string& method : TokenMethods()) {
    if (!HasOption(method, "heads")) continue;
    INFO(method);
    const size_t total = 3 * Select(method + ":0.6", layer.context)[0].size();
    for (const double floor : {0.0, 0.2, 0.8, 1.0}) {
      INFO(floor);
      const Kept kept =
          Select(method + ":0.6[heads=ada,floor=" + std::to_string(floor) + "]", layer.context);
      const std::vector<size_t> lengths = Lengths(kept);
      CHECK(std::accumulate(lengths.begin(), lengths.end(), size_t{0}) == total);
      const double least = floor * static_cast<double>(total) / 3 - 1;
      for (const size_t n : lengths) CHECK(static_cast<double>(n) >= least);
      if (floor == 1) CHECK(kept == Select(method + ":0.6", layer.context));
      if (floor == 0 && method == "knorm") CHECK(lengths[0] > lengths[2]);  // whose keys are longer
    }
  }
}

TEST_CASE("a shared budget gives heads different lengths", "[tokens]") {
  const TestLayer layer({300, 300, 300}, 300);
  for (const std::string method : {"snapkv", "pyramidkv", "h2o", "expected", "knorm"}) {
    INFO(method);
    const std::vector<size_t> lengths = Lengths(Select(method + ":0.6[heads=ada]", layer.context));
    CHECK(std::ranges::max(lengths) > std::ranges::min(lengths));
  }
}

// As after a pass that gave heads different lengths, or with the queries of an interval only.
TEST_CASE("every length and number of queries is defined", "[tokens]") {
  const std::vector<std::vector<size_t>> lengths = {{1, 1}, {2, 2}, {5, 5}, {90, 64}, {1, 130}};
  for (const auto& head_lengths : lengths) {
    for (const size_t window : {size_t{0}, size_t{1}, size_t{3}, size_t{64}, size_t{130}}) {
      const TestLayer layer(head_lengths, std::min(window, std::ranges::max(head_lengths)));
      for (const std::string& method : TokenMethods()) {
        for (const std::string budget : {":0.5", ":0.99", ":n=64"}) {
          INFO(method << budget << " window " << window << " tokens " << head_lengths[0]);
          const Kept kept = Select(method + budget, layer.context);
          for (size_t h = 0; h < kept.size(); ++h) {
            CHECK(kept[h].size() >= 1);
            CHECK(std::ranges::is_sorted(kept[h]));
            CHECK(std::ranges::adjacent_find(kept[h]) == kept[h].end());
            CHECK(kept[h].back() < head_lengths[h]);
          }
          const auto stage = CompressionPlan::Parse(method + budget);
          for (size_t h = 0; h < kept.size(); ++h) {
            const std::vector<float> scores = stage.token_stage()->Scores(layer.context, h);
            CHECK(scores.size() == head_lengths[h]);
            CHECK(std::ranges::none_of(scores, [](float s) { return std::isnan(s); }));
          }
          CHECK(kept == Select(method + budget, layer.context, 2));
        }
      }
    }
  }
}

TEST_CASE("of equal tokens the later stay", "[tokens]") {
  TestLayer layer({8}, 8);
  std::ranges::fill(layer.keys[0], 1.0f);
  CHECK(Select("knorm:0.5", layer.context)[0] == Range(4, 8));
  CHECK(Select("tova:n=3", layer.context)[0] == Range(5, 8));
}

TEST_CASE("windows and sinks stay", "[tokens]") {
  const TestLayer layer({100}, 100);
  CHECK(Select("snapkv:0.9", layer.context)[0] == Range(36, 100));
  CHECK(Select("snapkv:n=64", layer.context)[0] == Range(36, 100));
  CHECK(Select("snapkv:n=7[window=7]", layer.context)[0] == Range(93, 100));
  CHECK(Select("streaming:0.93", layer.context)[0] ==
        std::vector<uint32_t>{0, 1, 2, 3, 97, 98, 99});
  CHECK(Select("streaming:0.99", layer.context)[0] == Range(0, 4));
  CHECK(Select("streaming:n=3[sinks=0]", layer.context)[0] == Range(97, 100));
  CHECK(Select("expected:n=9[sinks=9]", layer.context)[0] == Range(0, 9));
  CHECK(Select("tova:n=1", layer.context)[0] == Range(99, 100));
  // The queries of an interval, fewer than the window: its tokens stay all the same.
  const TestLayer few({100}, 10);
  CHECK(Select("snapkv:0.9", few.context)[0] == Range(36, 100));
  // A chunk of a context other than its first has no sinks.
  TestLayer chunk({100}, 100);
  chunk.context.heads[0].begins = false;
  CHECK(Select("streaming:0.9", chunk.context)[0] == Range(90, 100));
}

TEST_CASE("a pyramid's budgets are those of kvpress, and their sum that of even ones", "[tokens]") {
  const auto budgets = [](const std::string& plan, size_t n_layers, size_t n_tokens) {
    const CompressionPlan parsed = CompressionPlan::Parse(plan);
    std::vector<size_t> out;
    for (size_t layer = 0; layer < n_layers; ++layer) {
      out.push_back(parsed.token_stage()->LayerBudget(layer, n_layers, n_tokens));
    }
    return out;
  };
  using Budgets = std::vector<size_t>;
  CHECK(budgets("pyramidkv:0.5", 3, 192) == Budgets{128, 96, 64});
  CHECK(budgets("pyramidkv:0.5", 4, 1001) == Budgets{937, 646, 355, 64});
  CHECK(budgets("pyramidkv:0.5[window=8]", 5, 1000) == Budgets{975, 738, 500, 262, 25});
  CHECK(budgets("pyramidkv:0.9", 3, 192) == Budgets{64, 64, 64});  // no room but for the window
  CHECK(budgets("pyramidkv:0.5", 3, 50) == Budgets{50, 50, 50});
  CHECK(budgets("pyramidkv:0", 3, 500) == Budgets{500, 500, 500});
  CHECK(budgets("pyramidkv:0.5", 1, 1000) == Budgets{500});
  CHECK(budgets("pyramidkv:0.5[window=8]", 2, 5) == Budgets{5, 5});
  CHECK(budgets("pyramidkv:0.99[window=1]", 2, 1) == Budgets{1, 1});
  CHECK(budgets("pyramidkv:n=100[window=4]", 3, 1000) == Budgets{195, 100, 5});
  CHECK(budgets("pyramidkv:n=100", 3, 1000) == Budgets{100, 100, 100});  // 5 are no window
  for (const size_t n : {300, 1024, 4096}) {
    for (const std::string budget : {"0.3", "0.5", "0.7", "n=150"}) {
      const std::string options = budget == "n=150" ? "[window=7]" : "[window=32]";
      const Budgets all = budgets("pyramidkv:" + budget + options, 30, n);
      const double mean =
          budget == "n=150" ? 150 : (1 - std::stod(budget)) * static_cast<double>(n);
      INFO(budget << " of " << n);
      CHECK(std::ranges::is_sorted(all, std::greater<>()));
      CHECK(static_cast<double>(std::accumulate(all.begin(), all.end(), size_t{0})) ==
            Catch::Approx(30 * mean).margin(15));  // half a token a layer
    }
  }
}

TEST_CASE("random tokens are the same everywhere, and others for another seed", "[tokens]") {
  const TestLayer layer({20, 20}, 0);
  const Kept kept = Select("random:0.7", layer.context);
  CHECK(kept == Select("random:0.7[seed=1]", layer.context));
  CHECK(kept == Kept{{0, 1, 7, 11, 12, 18}, {1, 2, 7, 8, 17, 19}});
  CHECK(kept != Select("random:0.7[seed=2]", layer.context));
  TestLayer other({20, 20}, 0);
  other.context.layer = 2;
  CHECK(kept != Select("random:0.7", other.context));
}
TEST_CASE("errors in token stages point at the character", "[tokens][plan]") {
  const auto refused = [](const std::string& plan, const std::string& message) {
    INFO(plan);
    CHECK_THROWS_MATCHES(CompressionPlan::Parse(plan), UsageError,
                         MessageMatches(ContainsSubstring(message)));
  };
  for (const std::string& method : TokenMethods()) {
    const std::string at = std::to_string(method.size() + 2);
    const std::string behind = std::to_string(method.size() + 4);
    refused(method, "needs a ratio");
    refused(method + ":1",
            "ratio: found '1', allowed a number from 0 to below 1, at character " + at);
    refused(method + ":n=0", "n: found '0', allowed a whole number from ");
    refused(method + ":n=0", "at character " + behind + " ");
    refused(method + ":n=x", "n: found 'x'");
    refused(method + ":0.5+" + method + ":0.5", "at most one token stage");
    refused("spark:0.5+" + method + ":0.5", "a token stage stands before the channel stage");
    CHECK_NOTHROW(CompressionPlan::Parse(method + ":0.5+spark:0.8"));
    if (HasOption(method, "heads")) {
      refused(method + ":0.5[heads=all]", "heads: found 'all', allowed even, ada,");
      refused(method + ":0.5[floor=0.1]", "only heads=ada has a floor");
      refused(method + ":0.5[heads=ada,floor=2]", "floor: found '2'");
    } else {
      refused(method + ":0.5[heads=ada]", "has no option 'heads'");
    }
  }
  refused("snapkv:n=63",
          "n: found '63', allowed a whole number from 64 to 1073741824, at character 10");
  refused("snapkv:n=63[window=65]", "from 65 to ");
  CHECK_NOTHROW(CompressionPlan::Parse("snapkv:n=63[window=63]"));
  refused("snapkv:0.5[kernel=4]", "kernel: found '4', allowed an odd number, at character 19");
  refused("pyramidkv:0.5[beta=0]", "beta: found '0'");
  refused("streaming:n=3", "from 4 to ");
  refused("expected:0.5[future=0]", "future: found '0'");
  refused("random:0.5[seed=-1]", "seed: found '-1'");
}

}  // namespace token_stages_test
}  // namespace spark
