// Spellings of flags that CLI11 does not know.
#ifndef APPS_ARGUMENTS_H_
#define APPS_ARGUMENTS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace spark {

// Rewrites "--ctx_size" to "--ctx-size", "--name=value" to two arguments, and aliases ("-ctk") to
// what they stand for. Whatever follows a flag that takes a value is its value and stays as it is,
// even if it looks like a flag. `takes_value` is asked about "--name" and "-n".
std::vector<std::string> NormaliseArguments(
    const std::vector<std::string>& args, const std::map<std::string, std::string>& aliases,
    const std::function<bool(const std::string& name)>& takes_value);

}  // namespace spark

#endif  // APPS_ARGUMENTS_H_
