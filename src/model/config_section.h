// config.json with checked access.
#ifndef SPARK_MODEL_CONFIG_SECTION_H_
#define SPARK_MODEL_CONFIG_SECTION_H_

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "spark/error.h"

namespace spark {

// An object of it; null counts as absent, as in transformers. The object outlives this view.
class ConfigSection {
 public:
  using Json = nlohmann::json;

  ConfigSection(const Json& object, std::string file, std::string prefix = {})
      : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {}

  const Json* Find(const char* key) const {
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<size_t> FindUint(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned()) FailType(key, *value, "an unsigned integer");
    return value->get<size_t>();
  }
  size_t GetUint(const char* key) const { return Required(key, FindUint(key)); }

  std::optional<float> FindFloat(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) FailType(key, *value, "a number");
    const auto number = static_cast<float>(value->get<double>());
    if (!std::isfinite(number)) Fail(key, "out of range", value->dump(), "a finite number");
    return number;
  }
  float GetFloat(const char* key) const { return Required(key, FindFloat(key)); }

  // A list of one value a layer.
  const Json* FindList(const char* key, size_t n_layers) const {
    const Json* value = Find(key);
    if (value == nullptr) return nullptr;
    if (!value->is_array()) FailType(key, *value, "an array");
    if (value->size() != n_layers) {
      Fail(key, "must have one element a layer", std::to_string(value->size()),
           std::to_string(n_layers));
    }
    return value;
  }

  std::optional<std::string> FindString(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) FailType(key, *value, "a string");
    return value->get<std::string>();
  }

  bool FindBool(const char* key, bool missing) const {
    const Json* value = Find(key);
    if (value == nullptr) return missing;
    if (!value->is_boolean()) FailType(key, *value, "a boolean");
    return value->get<bool>();
  }

  std::optional<ConfigSection> FindSection(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) FailType(key, *value, "an object");
    return ConfigSection(*value, file_, prefix_ + key + ".");
  }

  [[noreturn]] void Fail(const char* key, const std::string& message, std::string found = {},
                         std::string allowed = {}) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .field = prefix_ + key,
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  template <typename T>
  T Required(const char* key, std::optional<T> value) const {
    if (!value) Fail(key, "key is missing");
    return *value;
  }

  [[noreturn]] void FailType(const char* key, const Json& value, const char* allowed) const {
    Fail(key, "wrong type", value.is_number() ? value.dump() : value.type_name(), allowed);
  }

  const Json* object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace spark

#endif  // SPARK_MODEL_CONFIG_SECTION_H_
