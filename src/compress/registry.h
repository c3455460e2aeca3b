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

// The option that every stage has, read by CompressionPlan::Parse().
inline constexpr std::string_view kLayersOption = "layers";

struct OptionInfo {
  std::string_view name{};
  std::string_view fallback;  // the default, as it would be typed
  std::string_view help{};
};

struct MethodInfo {
  std::string_view name{};
  std::string_view argument{};  // "R", "R or n=N", "P", or empty when it takes none
  std::string_view help{};
  std::string_view paper{};
  std::vector<OptionInfo> options{};
  // Builds the stage from checked text. One of the two.
  std::function<std::shared_ptr<const TokenStage>(const StageOptions&)> make_token{};
  std::function<std::shared_ptr<const ChannelStage>(const StageOptions&)> make_channel{};
};

std::span<const MethodInfo> Registry();
const MethodInfo* FindMethod(std::string_view name);  // null: there is none

}  // namespace spark

#endif  // SPARK_COMPRESS_REGISTRY_H_
