// Records to test with: tests/data/eval/records.jsonl and changes of it.
#ifndef SPARK_TESTS_EVAL_SWEEP_FIXTURE_H_
#define SPARK_TESTS_EVAL_SWEEP_FIXTURE_H_

#include <fstream>
#include <string>
#include <vector>

#include "eval/record.h"

namespace spark::test {

// The made-up sweep of tests/data/eval/make_records.py.
inline std::vector<Record> FixtureRecords() {
  std::ifstream file(SPARK_TEST_DATA "/eval/records.jsonl");
  std::vector<Record> records;
  for (std::string line; std::getline(file, line);) records.push_back(Record::parse(line));
  return records;
}

// A point of a retrieval task or, with a perplexity_loss, of nll.
inline Record Point(const std::string& kv, const std::string& task, double score, double kv_share,
                    size_t context = 1024) {
  Record record = {{"point", kv + " " + task + " " + std::to_string(context)},
                   {"status", "ok"},
                   {"error", nullptr},
                   {"kv", kv},
                   {"cache_type_k", "f16"},
                   {"cache_type_v", "f16"},
                   {"context", context},
                   {"task", task},
                   {"threads", 2},
                   {"samples", 20},
                   {"score", score},
                   {"kv_share", kv_share}};
  return record;
}

inline Record NllPoint(const std::string& kv, double loss, double kv_share, size_t context = 1024) {
  Record record = Point(kv, "nll", 10 * (1 + loss), kv_share, context);
  record["perplexity"] = 10 * (1 + loss);
  record["perplexity_loss"] = loss;
  return record;
}

}  // namespace spark::test

#endif  // SPARK_TESTS_EVAL_SWEEP_FIXTURE_H_
