#include "apps/flag_parser.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "apps/arguments.h"
#include "spark/error.h"

namespace spark {
namespace {

// The longest name: what a message calls the flag.
std::string LongName(const std::string& names) {
  const size_t at = names.rfind("--");
  return at == std::string::npos ? names : names.substr(at);
}

}  // namespace

FlagParser::FlagParser(const std::string& name, const std::string& description,
                       const std::string& footer)
    : app_(description, name) {
  app_.footer(footer);
  app_.set_help_flag();  // Parse() adds it, so that its group is not the first one
  app_.get_formatter()->column_width(36);
}

CLI::Option* FlagParser::Switch(const std::string& names, bool& target, const std::string& help) {
  return app_.add_flag(names, target, help)->group(group_);
}

CLI::Option* FlagParser::Value(const std::string& names, const std::string& type,
                               const std::string& help, const std::string& shown, Convert convert) {
  const std::string text = shown.empty() ? help : fmt::format("{} (default: {})", help, shown);
  // Raw results: CLI11's own conversions accept nan, and give meaning to "[a,b]" and "{}".
  const auto take = [convert = std::move(convert),
                     flag = LongName(names)](const CLI::results_t& values) {
    for (const std::string& value : values) convert(flag, value);
    return true;
  };
  return app_.add_option(names, take, text)
      ->type_name(type)
      ->group(group_)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

CLI::Option* FlagParser::Text(const std::string& names, std::string& target,
                              const std::string& help) {
  return Value(names, "TEXT", help, target,
               [&target](const std::string&, const std::string& value) { target = value; });
}

CLI::Option* FlagParser::Text(const std::string& names, std::optional<std::string>& target,
                              const std::string& help) {
  return Value(names, "TEXT", help, "",
               [&target](const std::string&, const std::string& value) { target = value; });
}

CLI::Option* FlagParser::List(const std::string& names, std::vector<std::string>& target,
                              const std::string& help) {
  const auto add = [&target](const std::string&, const std::string& value) {
    target.push_back(value);
  };
  return Value(names, "TEXT", help, "", add)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

CLI::Option* FlagParser::Choice(const std::string& names, std::string& target,
                                const std::vector<std::string>& allowed, const std::string& help) {
  const auto take = [&target, allowed](const std::string& flag, const std::string& value) {
    if (std::ranges::find(allowed, value) == allowed.end()) {
      throw UsageError("unknown value", {.field = flag,
                                         .found = "'" + value + "'",
                                         .allowed = fmt::format("{}", fmt::join(allowed, ", "))});
    }
    target = value;
  };
  return Value(names, fmt::format("{}", fmt::join(allowed, "|")), help, target, take);
}

template <typename T>
CLI::Option* FlagParser::Number(const std::string& names, T& target, T min, T max,
                                const std::string& help, const std::string& shown) {
  const auto convert = [&target, min, max](const std::string& flag, const std::string& value) {
    T number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    // NaN compares false: written so that it is refused.
    const bool inside = number >= min && number <= max;
    if (error != std::errc() || end != value.data() + value.size() || !inside) {
      throw UsageError(
          std::is_integral_v<T> ? "not a whole number in range" : "not a finite number in range",
          {.field = flag,
           .found = "'" + value + "'",
           .allowed = fmt::format("{} to {}", min, max)});
    }
    target = number;
  };
  return Value(names, std::is_integral_v<T> ? "N" : "X", help,
               shown.empty() ? fmt::format("{}", target) : shown, convert);
}
template CLI::Option* FlagParser::Number(const std::string&, int&, int, int, const std::string&,
                                         const std::string&);
template CLI::Option* FlagParser::Number(const std::string&, float&, float, float,
                                         const std::string&, const std::string&);
// size_t is one of these and uint64_t perhaps the other.
template CLI::Option* FlagParser::Number(const std::string&, unsigned long&, unsigned long,
                                         unsigned long, const std::string&, const std::string&);
template CLI::Option* FlagParser::Number(const std::string&, unsigned long long&,
                                         unsigned long long, unsigned long long, const std::string&,
                                         const std::string&);

bool FlagParser::TakesValue(const std::string& name) const {
  const CLI::Option* option = app_.get_option_no_throw(name);
  return option != nullptr && option->get_items_expected_max() > 0;
}

std::optional<std::string> FlagParser::Parse(int argc, const char* const* argv) {
  app_.set_help_flag("-h,--help", "print this and stop")->group("Information");
  std::vector<std::string> args =
      NormaliseArguments({argv + std::min(argc, 1), argv + argc}, aliases_,
                         [this](const std::string& name) { return TakesValue(name); });
  std::ranges::reverse(args);  // CLI11 takes them from the back
  try {
    app_.parse(std::move(args));
  } catch (const CLI::CallForHelp&) {
    return app_.help();
  } catch (const CLI::ParseError& error) {
    throw UsageError(std::string(error.what()) + " (--help lists the flags)");
  }
  return std::nullopt;
}

}  // namespace spark
