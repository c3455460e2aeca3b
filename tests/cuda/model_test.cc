// Whole models through the CUDA backend: logits against those of transformers, and compressed
// sessions against the reference backend.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "spark/session.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/session_options.h"
#include "tests/support/largest_difference.h"

namespace spark {
namespace model_test {

const std::string kModels = SPARK_TEST_DATA "/models/";

std::vector<TokenId> IdsOf(const std::string& model) {
  const auto file = SafetensorsFile::Open(kModels + model + "/expected.safetensors");
  const std::vector<int64_t> numbers = file.ReadInts("input_ids");
  return {numbers.begin(), numbers.end()};
}

LogitsSink Collect(std::vector<float>& all) {
  return [&all](size_t, std::span<const float> rows) {
    all.insert(all.end(), rows.begin(), rows.end());
  };
}

void CheckLogits(const std::string& name, bool f16) {
  INFO(name << (f16 ? " in f16" : " in f32"));
  const Model model = Model::Load(kModels + name);
  SessionOptions options = Options("cuda", "none", CacheType::kF32);
  options.compute_f32 = !f16;
  Session session(model, options);
  std::vector<float> logits;
  session.Prefill(IdsOf(name), {}, Collect(logits));
  const auto expected =
      SafetensorsFile::Open(kModels + name + "/expected.safetensors").ReadFloats("logits");
  float size = 0;
  for (const float x : expected) size = std::max(size, std::abs(x));
  // As for `cpu` in f32; weights and activations of f16 are off by 2^-11 in every product.
  CHECK(LargestDifference(logits, expected) < (f16 ? 0.01f * size : 1e-3f));
}

TEST_CASE("logits of the tiny models are those of transformers: llama", "[cuda]") {
  MakeDevice();
  CheckLogits("llama", false);
  CheckLogits("llama", true);
}
TEST_CASE("logits of the tiny models are those of transformers: qwen3", "[cuda]") {
  MakeDevice();
  CheckLogits("qwen3", false);
}
TEST_CASE("logits of the tiny models are those of transformers: windows", "[cuda]") {
  MakeDevice();
  CheckLogits("gemma3", true);
  CheckLogits("mistral-window", true);
}

// A context, a question whose tokens are compressed as they come, and another one after Rewind().
std::vector<float> RunSession(const Model& model, SessionOptions options,
                              const std::vector<TokenId>& ids) {
  options.decode_interval = 8;
  Session session(model, options);
  std::vector<float> logits;
  const size_t context = ids.size() / 2;
  session.Prefill(std::span(ids).first(context));
  for (size_t i = context; i < ids.size(); ++i) {
    session.Append(std::span(ids).subspan(i, 1), {}, Collect(logits));
  }
  session.Rewind();
  session.Append(std::span(ids).subspan(context, 3), {}, Collect(logits));
  const std::span<const float> next = session.NextLogits();
  logits.insert(logits.end(), next.begin(), next.end());
  return logits;
}

void ComparePlan(const std::string& plan) {
  INFO(plan);
  MakeDevice();
  const Model model = Model::Load(kModels + "llama");
  std::vector<TokenId> ids = IdsOf("llama");
  ids.resize(std::min<size_t>(ids.size(), 44));
  const auto run = [&](const std::string& backend) {
    return RunSession(model, Options(backend, plan, CacheType::kF32), ids);
  };
  // Both keep the same channels unless two scores tie within rounding.
  CHECK(LargestDifference(run("cuda"), run("reference")) < 1e-3f);
}

TEST_CASE("compressed sessions say what they say on the reference backend", "[cuda]") {
  for (const std::string plan : {"none", "spark:0.5", "think:0.5"}) ComparePlan(plan);
}
TEST_CASE("so do sessions that lose tokens, or centre their keys", "[cuda]") {
  for (const std::string plan : {"spark-plus:0.8", "snapkv:0.5+spark:0.8"}) ComparePlan(plan);
}

}  // namespace model_test
}  // namespace spark
