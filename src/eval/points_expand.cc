// The list of plans that --kv takes: commas between plans, ranges in them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>

#include "spark/error.h"
#include "spark/sweep.h"

namespace spark {
namespace {

constexpr size_t kMostPlans = 10'000;

[[noreturn]] void Fail(std::string_view plan, const std::string& message) {
  throw UsageError(fmt::format("--kv: {} in '{}'", message, plan));
}

// A decimal number as written: units of 10^-decimals, so that 0.1 + 0.2 is 0.3.
struct Decimal {
  int64_t units = 0;
  int decimals = 0;
};

// Reads digits[.digits] at `at` and moves behind it.
std::optional<Decimal> ReadDecimal(std::string_view text, size_t& at) {
  constexpr int kMostDigits = 15;
  Decimal number;
  int digits = 0;
  bool point = false;
  size_t end = at;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9' && ++digits <= kMostDigits) {
      number.units = number.units * 10 + (c - '0');
      number.decimals += point;
    } else {
      break;
    }
  }
  if (digits == 0 || digits > kMostDigits) return std::nullopt;
  at = end;
  return number;
}

int64_t InUnits(const Decimal& number, int decimals) {
  int64_t units = number.units;
  for (int i = number.decimals; i < decimals; ++i) {
    if (units > INT64_MAX / 100) return INT64_MAX / 100;
    units *= 10;
  }
  return units;
}

// 30, 2 decimals → "0.3"
std::string Written(int64_t units, int decimals) {
  std::string digits = fmt::format("{:0{}}", units, decimals + 1);
  if (decimals == 0) return digits;
  digits.insert(digits.end() - decimals, '.');
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits;
}

struct Range {
  size_t begin = 0, end = 0;  // characters of the plan
  std::vector<std::string> values;
};

// The range at `at`, where a number of a stage may begin; nothing if something else stands there.
std::optional<Range> ReadRange(std::string_view plan, size_t begin) {
  size_t at = begin;
  const std::optional<Decimal> first = ReadDecimal(plan, at);
  if (!first || at >= plan.size() || plan[at] != '-') return std::nullopt;
  const std::optional<Decimal> last = ReadDecimal(plan, ++at);
  const bool plus = last && at < plan.size() && plan[at] == '+';
  const std::optional<Decimal> step = plus ? ReadDecimal(plan, ++at) : std::nullopt;
  if (!step) Fail(plan, "a range is written first-last+step, as 0.1-0.9+0.2,");
  const int decimals = std::max({first->decimals, last->decimals, step->decimals});
  const int64_t low = InUnits(*first, decimals);
  const int64_t high = InUnits(*last, decimals);
  const int64_t by = InUnits(*step, decimals);
  if (by == 0) Fail(plan, "a range with step 0");
  if (high < low) Fail(plan, "a range that ends before it begins");
  if ((high - low) / by >= static_cast<int64_t>(kMostPlans)) Fail(plan, "a range too long");
  Range range{begin, at, {}};
  for (int64_t x = low; x <= high; x += by) range.values.push_back(Written(x, decimals));
  return range;
}

// Where the first range stands at or behind `from`.
std::optional<Range> FindRange(std::string_view plan) {
  for (size_t at = 0; at + 1 < plan.size(); ++at) {
    if (plan[at] != ':' && plan[at] != '=') continue;
    if (std::optional<Range> range = ReadRange(plan, at + 1)) return range;
  }
  return std::nullopt;
}

void Expand(const std::string& plan, std::vector<std::string>& plans) {
  const std::optional<Range> range = FindRange(plan);
  if (!range) {
    CompressionPlan::Parse(plan);
    if (std::ranges::find(plans, plan) == plans.end()) plans.push_back(plan);
    if (plans.size() > kMostPlans) throw UsageError("--kv: too many plans");
    return;
  }
  for (const std::string& value : range->values) {
    std::string one = plan;
    one.replace(range->begin, range->end - range->begin, value);
    Expand(one, plans);
  }
}

}  // namespace

std::vector<std::string> ExpandPlans(std::string_view list) {
  std::vector<std::string> plans;
  int depth = 0;
  size_t begin = 0;
  for (size_t at = 0; at <= list.size(); ++at) {
    const char c = at < list.size() ? list[at] : ',';
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (at < list.size() && (c != ',' || depth > 0)) continue;
    if (at == begin) throw UsageError(fmt::format("--kv: a plan is missing in '{}'", list));
    Expand(std::string(list.substr(begin, at - begin)), plans);
    begin = at + 1;
  }
  return plans;
}

}  // namespace spark
