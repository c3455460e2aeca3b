// The one table of compression methods: names, help, defaults, papers. Parsing, --list-kv-methods,
// the documentation and the tests read it; a new method is one file and one entry.
#ifndef SPARK_COMPRESS_REGISTRY_H_
#define SPARK_COMPRESS_REGISTRY_H_

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "compress/options.h"
#include "compress/stage.h"

namespace spark {

struct OptionInfo {
  std::string_view name{};
  std::string_view fallback;  // the default, as it would be typed
  std::string_view help{};
};

struct MethodInfo {
  std::string_view name{};
  std::string_view argument{};  // "R", or empty when it takes none
  std::string_view help{};
  std::string_view paper{};
  std::vector<OptionInfo> options{};
  std::vector<std::string_view> later_options{};  // of the language, not built yet
  // Builds the stage from checked text. Empty: a method of the plan language that is not built yet.
  std::function<std::shared_ptr<const ChannelStage>(const StageOptions&)> make{};
};

std::span<const MethodInfo> Registry();
const MethodInfo* FindMethod(std::string_view name);  // null: there is none

}  // namespace spark

#endif  // SPARK_COMPRESS_REGISTRY_H_
