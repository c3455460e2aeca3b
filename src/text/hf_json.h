// A value in a JSON file of a Hugging Face folder, that knows where it stands.
#ifndef SPARK_TEXT_HF_JSON_H_
#define SPARK_TEXT_HF_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

// A view: the document and the file's name must outlive it. All functions throw Error, naming file
// and field, for a value of another type.
class HfJson {
 public:
  HfJson(const nlohmann::json& value, const std::string& file, std::string path = {})
      : value_(&value), file_(&file), path_(std::move(path)) {}

  const nlohmann::json& json() const { return *value_; }
  const std::string& file() const { return *file_; }
  const std::string& path() const { return path_; }

  std::optional<HfJson> Find(std::string_view key) const;  // nothing if missing or null
  HfJson Get(std::string_view key) const;                  // throws
  std::vector<HfJson> Items() const;                       // of an array

  const std::string& String() const;
  bool Bool() const;
  int64_t Int(int64_t min, int64_t max) const;
  bool BoolOr(std::string_view key, bool otherwise) const;

  [[noreturn]] void Fail(const std::string& message, std::string found = {},
                         std::string allowed = {}) const;

 private:
  [[noreturn]] void FailType(const char* allowed) const;

  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;  // "model.vocab"; empty: the document
};

}  // namespace spark

#endif  // SPARK_TEXT_HF_JSON_H_
