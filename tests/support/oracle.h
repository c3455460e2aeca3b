// The vectors of tests/data/spark, one case at a time.
#ifndef SPARK_TESTS_SUPPORT_ORACLE_H_
#define SPARK_TESTS_SUPPORT_ORACLE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "compress/stage.h"
#include "io/safetensors.h"

namespace spark::testing {

struct OracleCase {
  std::string name;
  size_t q_heads = 0;
  size_t kv_heads = 0;
  size_t window = 0;
  size_t tokens = 0;
  size_t head_dim = 0;
  std::vector<double> ratios;

  size_t group() const { return q_heads / kv_heads; }
};

const SafetensorsFile& OracleVectors();
const std::vector<OracleCase>& OracleCases();

// "random0.r80.kept"
std::string OracleName(const OracleCase& c, double ratio, const std::string& tensor);

// The input of one KV head; owns what `context` points at.
struct OracleHead {
  OracleHead(const OracleCase& c, size_t head);
  std::vector<float> keys;     // [N, D]
  std::vector<float> values;   // [N, D]
  std::vector<float> queries;  // [W, G, D]
  std::vector<float> probes;   // [G, D]
  HeadContext context;
};

// How many channels of one head's tokens `store` keeps or prunes other than the mask tensor `name`
// says. Two sums in another order may swap channels whose `score(t, j)` is equal but for rounding:
// such pairs don't count.
size_t MaskMismatches(const SparseStore& store, const OracleCase& c, size_t head,
                      const std::string& name, const std::function<float(size_t, size_t)>& score);

// Largest |row - expected| of a store's rows and one head of the tensor `name`, in units of
// margin + |expected| * relative.
float WorstRow(const SparseStore& store, const OracleCase& c, size_t head, const std::string& name,
               float margin, float relative);

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_ORACLE_H_
