// The options of one stage, as typed in brackets: checked, then read by name.
#ifndef SPARK_COMPRESS_OPTIONS_H_
#define SPARK_COMPRESS_OPTIONS_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "compress/stage.h"

namespace spark {

// What an option that counts tokens may say.
constexpr size_t kMostTokens = size_t{1} << 30;

// One `name=value`. Positions are 0-based characters of the whole plan.
struct OptionText {
  std::string name;
  std::string value;
  size_t name_position = 0;
  size_t value_position = 0;
};

// One `name:argument[option=value,…]`.
struct StageText {
  std::string name;
  size_t position = 0;
  std::string argument;
  size_t argument_position = 0;
  std::vector<OptionText> options;
};

class StageOptions {
 public:
  // `plan` is the whole text, for messages. Both must outlive this.
  StageOptions(std::string_view plan, const StageText& stage) : plan_(plan), stage_(stage) {}

  // The stage's argument as a share in [0, 1). Throws UsageError at its position.
  double Ratio() const;
  // The same, or `n=TOKENS`, of which `least` must stay whatever happens; with the options `heads`
  // and `floor` where the stage has them.
  TokenBudget Budget(size_t least = 1) const;
  // Throws UsageError if there is an argument.
  void NoArgument() const;
  // The stage's argument as a share in (0, 1].
  double Mass() const;

  bool Given(std::string_view name) const { return Find(name) != nullptr; }

  // The value of an option, or `fallback` when it isn't given. Throw UsageError at the value.
  size_t Size(std::string_view name, size_t fallback, size_t least, size_t most) const;
  double Number(std::string_view name, double fallback, double least, double most) const;
  // Index into `allowed`.
  size_t Choice(std::string_view name, size_t fallback,
                const std::vector<std::string_view>& allowed) const;

  // Throws UsageError at the value of an option that was given.
  [[noreturn]] void Fail(std::string_view name, const std::string& message) const;

 private:
  const OptionText* Find(std::string_view name) const;

  std::string_view plan_;
  const StageText& stage_;
};

// Throws UsageError: "--kv: MESSAGE at character N of 'PLAN'". `position` is 0-based, N 1-based.
[[noreturn]] void FailPlan(std::string_view plan, size_t position, const std::string& message);

}  // namespace spark

#endif  // SPARK_COMPRESS_OPTIONS_H_
