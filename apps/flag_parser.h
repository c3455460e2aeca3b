// CLI11 with what our programs add to it: finite numbers within bounds, defaults in the help, names
// with `_` for `-`, and errors of one line.
#ifndef APPS_FLAG_PARSER_H_
#define APPS_FLAG_PARSER_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace spark {

class FlagParser {
 public:
  FlagParser(const std::string& name, const std::string& description, const std::string& footer);

  // Flags that follow are listed under this heading.
  void Group(const std::string& name) { group_ = name; }

  // Names as "-t,--threads". Where `target` has a value, the help shows it as the default.
  CLI::Option* Switch(const std::string& names, bool& target, const std::string& help);
  CLI::Option* Text(const std::string& names, std::string& target, const std::string& help);
  CLI::Option* Text(const std::string& names, std::optional<std::string>& target,
                    const std::string& help);
  // May be given several times.
  CLI::Option* List(const std::string& names, std::vector<std::string>& target,
                    const std::string& help);
  CLI::Option* Choice(const std::string& names, std::string& target,
                      const std::vector<std::string>& allowed, const std::string& help);
  // Accepts min to max; `shown` replaces the default in the help.
  template <typename T>
  CLI::Option* Number(const std::string& names, T& target, T min, T max, const std::string& help,
                      const std::string& shown = "");

  // What `convert` makes of the value; it may throw UsageError. `shown`: the default, if any.
  using Convert = std::function<void(const std::string& flag, const std::string& value)>;
  CLI::Option* Value(const std::string& names, const std::string& type, const std::string& help,
                     const std::string& shown, Convert convert);

  // Other spellings of a flag, such as "-ctk" for "--cache-type-k".
  void Alias(const std::string& other, const std::string& name) { aliases_[other] = name; }

  // Returns the help text if it was asked for. Throws UsageError.
  std::optional<std::string> Parse(int argc, const char* const* argv);

 private:
  bool TakesValue(const std::string& name) const;

  CLI::App app_;
  std::string group_ = "Flags";
  std::map<std::string, std::string> aliases_;
};

}  // namespace spark

#endif  // APPS_FLAG_PARSER_H_
