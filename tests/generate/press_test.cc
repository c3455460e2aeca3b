// Logits behind a context that a channel stage compressed, against kvpress and the functions of
// SparK's authors (tests/data/models/llama, press.*).
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "io/safetensors.h"
#include "spark/session.h"

namespace spark {
namespace press_test {

TEST_CASE("logits behind every channel stage are the authors'", "[oracle][session]") {
  const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  const SafetensorsFile expected =
      SafetensorsFile::Open(SPARK_TEST_DATA "/models/llama/expected.safetensors");
  const std::vector<int64_t> numbers = expected.ReadInts("press.input_ids");
  const std::vector<TokenId> ids(numbers.begin(), numbers.end());
  const auto context = static_cast<size_t>(expected.ReadInts("press.context").at(0));

  const std::pair<const char*, const char*> plans[] = {{"spark:0.8", "spark_0.8"},
                                                       {"spark-group", "group"},
                                                       {"spark:0.8[values=0.5]", "sparkv_0.8_0.5"}};
  for (const auto& [plan, name] : plans) {
    INFO(plan);
    SessionOptions options;
    options.plan = CompressionPlan::Parse(plan);
    options.cache_type_k = options.cache_type_v = CacheType::kF32;
    options.backend = "reference";
    options.threads = 2;
    Session session(model, options);
    session.Prefill(std::span(ids).first(context));
    std::vector<float> logits;
    session.Append(std::span(ids).subspan(context), {}, [&](size_t, std::span<const float> rows) {
      logits.insert(logits.end(), rows.begin(), rows.end());
    });
    const std::vector<float> want = expected.ReadFloats(std::string("press.") + name + ".logits");
    REQUIRE(logits.size() == want.size());
    float worst = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      worst = std::max(worst, std::abs(logits[i] - want[i]));
    }
    CHECK(worst < 1e-3f);
  }
}

TEST_CASE("every form of SparK runs on short contexts", "[session]") {
  const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  for (const char* plan :
       {"spark-group", "spark:0[store=q8_0]", "spark-group[recovery=normal,store=q8_0]",
        "spark-topp:0.9[values=0.5]", "spark-topp:0.5[recovery=zero,values=0.9,fill=zero]",
        "spark:0.8[recovery=exponential,clip=threshold,seed=3,sinks=1]",
        "spark:0.8[recovery=normal,store=q4_0,keep=2,values=0.3]"}) {
    for (const size_t n : {1, 2, 40}) {
      INFO(plan << " with " << n << " tokens");
      std::vector<std::vector<float>> runs;
      for (int run = 0; run < 2; ++run) {
        SessionOptions options;
        options.plan = CompressionPlan::Parse(plan);
        options.backend = "reference";
        options.threads = run + 1;
        Session session(model, options);
        session.Prefill(std::vector<TokenId>(n, 7));
        session.Append(std::vector<TokenId>{5, 6});
        runs.emplace_back(session.NextLogits().begin(), session.NextLogits().end());
      }
      CHECK(runs[0] == runs[1]);
      for (const float logit : runs[0]) REQUIRE(std::isfinite(logit));
    }
  }
}

}  // namespace press_test
}  // namespace spark
