#include "tests/support/oracle.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace spark::testing {
namespace {

std::vector<OracleCase> ReadCases() {
  std::ifstream in(SPARK_TEST_DATA "/spark/spark_vectors.json");
  const nlohmann::json cases_json = nlohmann::json::parse(in);
  std::vector<OracleCase> cases;
  for (const auto& [name, meta] : cases_json.items()) {
    cases.push_back({name, meta["q_heads"], meta["kv_heads"], meta["window"], meta["tokens"],
                     meta["head_dim"], meta["ratios"]});
  }
  return cases;
}

std::vector<float> Slice(const std::vector<float>& all, size_t first, size_t count) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

}  // namespace

const SafetensorsFile& OracleVectors() {
  static const SafetensorsFile file =
      SafetensorsFile::Open(SPARK_TEST_DATA "/spark/spark_vectors.safetensors");
  return file;
}

const std::vector<OracleCase>& OracleCases() {
  static const std::vector<OracleCase> cases = ReadCases();
  return cases;
}

std::string OracleName(const OracleCase& c, double ratio, const std::string& tensor) {
  return fmt::format("{}.r{}.{}", c.name, std::lround(ratio * 100), tensor);
}

OracleHead::OracleHead(const OracleCase& c, size_t head) {
  const size_t head_size = c.tokens * c.head_dim;
  const size_t group_size = c.group() * c.head_dim;
  keys = Slice(OracleVectors().ReadFloats(c.name + ".k"), head * head_size, head_size);
  probes = Slice(OracleVectors().ReadFloats(c.name + ".probe_q"), head * group_size, group_size);

  const std::vector<float> all_queries = OracleVectors().ReadFloats(c.name + ".q_window");
  for (size_t i = 0; i < c.window; ++i) {  // [Hq, W, D] to [W, G, D]
    for (size_t g = 0; g < c.group(); ++g) {
      const size_t row = (head * c.group() + g) * c.window + i;
      const std::vector<float> q = Slice(all_queries, row * c.head_dim, c.head_dim);
      queries.insert(queries.end(), q.begin(), q.end());
    }
  }
  values = Slice(OracleVectors().ReadFloats(c.name + ".v"), head * head_size, head_size);
  context = {.keys = keys.data(),
             .values = values.data(),
             .n_tokens = c.tokens,
             .head_dim = c.head_dim,
             .queries = queries.data(),
             .window = c.window,
             .group = c.group(),
             .types = {DType::kF32, DType::kF32}};
}

size_t MaskMismatches(const SparseStore& store, const OracleCase& c, size_t head,
                      const std::string& name, const std::function<float(size_t, size_t)>& score) {
  const std::vector<int64_t> kept = OracleVectors().ReadInts(name);
  size_t mismatches = 0;
  for (size_t t = 0; t < c.tokens; ++t) {
    std::vector<float> differing;
    for (size_t j = 0; j < c.head_dim; ++j) {
      const bool expected = kept[(head * c.tokens + t) * c.head_dim + j] != 0;
      if (MaskBit(store.Mask(t), j) != expected) differing.push_back(score(t, j));
    }
    if (differing.size() == 2 &&
        std::abs(differing[0] - differing[1]) <= 1e-6f * std::abs(differing[0])) {
      continue;
    }
    mismatches += differing.size();
  }
  return mismatches;
}

float WorstRow(const SparseStore& store, const OracleCase& c, size_t head, const std::string& name,
               float margin, float relative) {
  const std::vector<float> expected = OracleVectors().ReadFloats(name);
  std::vector<float> row(c.head_dim);
  float worst = 0;
  for (size_t t = 0; t < c.tokens; ++t) {
    store.ReadRow(t, row.data());
    for (size_t j = 0; j < c.head_dim; ++j) {
      const float want = expected[(head * c.tokens + t) * c.head_dim + j];
      worst = std::max(worst, std::abs(row[j] - want) / (margin + relative * std::abs(want)));
    }
  }
  return worst;
}

}  // namespace spark::testing
