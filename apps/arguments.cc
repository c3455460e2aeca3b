#include "apps/arguments.h"

#include <algorithm>

namespace spark {
namespace {

using TakesValue = std::function<bool(const std::string& name)>;

// "-ep": switches may stand together, and the last flag of them may take the next argument.
bool ShortsEndInValueFlag(const std::string& shorts, const TakesValue& takes_value) {
  for (size_t i = 1; i < shorts.size(); ++i) {
    if (takes_value(std::string("-") + shorts[i])) return i + 1 == shorts.size();
  }
  return false;
}

// Appends a "--flag" or "--flag=value"; returns whether the next argument is its value.
bool AppendLong(std::string text, const TakesValue& takes_value, std::vector<std::string>& out) {
  const size_t equals = std::min(text.find('='), text.size());
  std::replace(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(equals), '_', '-');
  const std::string name = text.substr(0, equals);
  if (!takes_value(name)) {
    out.push_back(text);
    return false;
  }
  // As two arguments, because CLI11 takes "--name=" for a name without a value.
  out.push_back(name);
  if (equals == text.size()) return true;
  out.push_back(text.substr(equals + 1));
  return false;
}

}  // namespace

std::vector<std::string> NormaliseArguments(const std::vector<std::string>& args,
                                            const std::map<std::string, std::string>& aliases,
                                            const TakesValue& takes_value) {
  std::vector<std::string> out;
  bool is_value = false;
  for (const std::string& arg : args) {
    const auto alias = aliases.find(arg);
    const std::string& text = is_value || alias == aliases.end() ? arg : alias->second;
    if (is_value || text.size() < 2 || text[0] != '-') {
      out.push_back(text);
      is_value = false;
    } else if (text[1] == '-') {
      is_value = AppendLong(text, takes_value, out);
    } else {
      out.push_back(text);
      is_value = ShortsEndInValueFlag(text, takes_value);
    }
  }
  return out;
}

}  // namespace spark
