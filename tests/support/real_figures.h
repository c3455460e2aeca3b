// What a model makes of known prompts and texts, beside what transformers makes of them.
#ifndef SPARK_TESTS_SUPPORT_REAL_FIGURES_H_
#define SPARK_TESTS_SUPPORT_REAL_FIGURES_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "spark/session.h"

namespace spark::testing {

// A plan, and what a file of expected figures calls it.
struct NllRow {
  std::string plan, name;
};

// tests/data/text/NAME
nlohmann::json ExpectedFigures(const std::string& name);

// f32 everywhere, or the defaults.
SessionOptions FigureOptions(const std::string& plan, bool compute_f32);

// Adds -log p(ids[i + 1] | ids[0..i]) of every row of logits it is given.
class NllMeter {
 public:
  explicit NllMeter(std::span<const TokenId> ids) : ids_(ids) {}
  LogitsSink Sink();
  double mean() const { return sum_ / static_cast<double>(ids_.size() - 1); }

 private:
  std::span<const TokenId> ids_;
  size_t row_ = 0;
  double sum_ = 0;
};

TokenId Largest(std::span<const float> logits);

// Checks ids, mean NLL, largest logits (to `tolerance`) and greedy tokens of every prompt, in f32.
// `ids` counts the beginning-of-sequence token that `bos` holds, if any.
void CheckPrompts(const Model& model, const nlohmann::json& expected, float tolerance);

// Checks perplexities that `nll` lists, of the second part of each segment of `text` given its
// compressed first part: within `limit`. `bos` stands in front of every segment, whose last token
// makes room for it.
void CheckNllRows(const Model& model, const nlohmann::json& nll, std::span<const TokenId> text,
                  std::span<const TokenId> bos, std::span<const NllRow> rows, bool compute_f32,
                  double limit);

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_REAL_FIGURES_H_
