#include "tests/support/real_model.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

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

std::optional<std::string> Gemma3Path() {
  return IfExists(Environment("SPARK_GEMMA3", SPARK_SOURCE_DIR "/models/gemma3-270m.gguf"));
}

std::optional<std::string> SharedText(const std::string& name) {
  const auto path =
      IfExists(Environment("SPARK_SHARED", SPARK_SOURCE_DIR "/../shared") + "/" + name);
  if (!path) return std::nullopt;
  std::ifstream in(*path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace spark::testing
