#include "tests/support/real_model.h"

#include <cstdlib>
#include <filesystem>

namespace spark::testing {
namespace {

std::optional<std::string> IfExists(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

std::string Environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

}  // namespace

std::optional<std::string> SmolLm2Path() {
  return IfExists(Environment("SPARK_SMOLLM2", SPARK_SOURCE_DIR "/models/smollm2.gguf"));
}

std::optional<std::string> SharedPath(const std::string& name) {
  return IfExists(Environment("SPARK_SHARED", SPARK_SOURCE_DIR "/../shared") + "/" + name);
}

}  // namespace spark::testing
