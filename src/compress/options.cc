#include "compress/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "spark/error.h"

namespace spark {
namespace {

// The whole of `text` as a number; nothing for trailing characters, overflow or an empty text.
template <class Number>
bool ParseWhole(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && rest == end;
}

}  // namespace

void FailPlan(std::string_view plan, size_t position, const std::string& message) {
  throw UsageError(fmt::format("--kv: {} at character {} of '{}'", message, position + 1, plan));
}

double StageOptions::Ratio() const {
  double ratio = 0;
  if (stage_.argument.empty()) {
    FailPlan(plan_, stage_.position + stage_.name.size(),
             fmt::format("'{}' needs a ratio, such as {}:0.5,", stage_.name, stage_.name));
  }
  // from_chars reads "nan" and "inf"; neither lies in the interval.
  if (!ParseWhole(stage_.argument, ratio) || !(ratio >= 0 && ratio < 1)) {
    FailPlan(
        plan_, stage_.argument_position,
        fmt::format("ratio: found '{}', allowed a number from 0 to below 1,", stage_.argument));
  }
  return ratio;
}

TokenBudget StageOptions::Budget(size_t least) const {
  least = std::max<size_t>(least, 1);
  TokenBudget budget;
  if (stage_.argument.starts_with("n=")) {
    const std::string number = stage_.argument.substr(2);
    if (!ParseWhole(number, budget.n_tokens) || budget.n_tokens < least ||
        budget.n_tokens > kMostTokens) {
      FailPlan(plan_, stage_.argument_position + 2,
               fmt::format("n: found '{}', allowed a whole number from {} to {},", number, least,
                           kMostTokens));
    }
  } else {
    budget.ratio = Ratio();
  }
  budget.adaptive = Choice("heads", 0, {"even", "ada"}) == 1;
  budget.floor = Number("floor", budget.floor, 0, 1);
  if (!budget.adaptive && Find("floor") != nullptr) Fail("floor", "only heads=ada has a floor,");
  return budget;
}

void StageOptions::NoArgument() const {
  if (!stage_.argument.empty()) {
    FailPlan(plan_, stage_.argument_position,
             fmt::format("'{}' takes no ratio, found '{}'", stage_.name, stage_.argument));
  }
}

double StageOptions::Mass() const {
  double mass = 0;
  if (stage_.argument.empty()) {
    FailPlan(plan_, stage_.position + stage_.name.size(),
             fmt::format("'{}' needs a share, such as {}:0.99,", stage_.name, stage_.name));
  }
  if (!ParseWhole(stage_.argument, mass) || !(mass > 0 && mass <= 1)) {
    FailPlan(plan_, stage_.argument_position,
             fmt::format("share: found '{}', allowed a number above 0 to 1,", stage_.argument));
  }
  return mass;
}

double StageOptions::Number(std::string_view name, double fallback, double least,
                            double most) const {
  const OptionText* option = Find(name);
  if (option == nullptr) return fallback;
  double value = 0;
  if (!ParseWhole(option->value, value) || !(value >= least && value <= most)) {
    FailPlan(plan_, option->value_position,
             fmt::format("{}: found '{}', allowed a number from {} to {},", name, option->value,
                         least, most));
  }
  return value;
}

size_t StageOptions::Size(std::string_view name, size_t fallback, size_t least, size_t most) const {
  const OptionText* option = Find(name);
  if (option == nullptr) return fallback;
  size_t value = 0;
  if (!ParseWhole(option->value, value) || value < least || value > most) {
    FailPlan(plan_, option->value_position,
             fmt::format("{}: found '{}', allowed a whole number from {} to {},", name,
                         option->value, least, most));
  }
  return value;
}

size_t StageOptions::Choice(std::string_view name, size_t fallback,
                            const std::vector<std::string_view>& allowed) const {
  const OptionText* option = Find(name);
  if (option == nullptr) return fallback;
  for (size_t i = 0; i < allowed.size(); ++i) {
    if (option->value == allowed[i]) return i;
  }
  FailPlan(
      plan_, option->value_position,
      fmt::format("{}: found '{}', allowed {},", name, option->value, fmt::join(allowed, ", ")));
}

void StageOptions::Fail(std::string_view name, const std::string& message) const {
  const OptionText* option = Find(name);
  FailPlan(plan_, option == nullptr ? stage_.position : option->value_position,
           fmt::format("{}: {}", name, message));
}

const OptionText* StageOptions::Find(std::string_view name) const {
  for (const OptionText& option : stage_.options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace spark
