#include "text/hf_json.h"

#include <fmt/format.h>

#include <utility>

#include "base/quoted.h"
#include "spark/error.h"

namespace spark {

std::optional<HfJson> HfJson::Find(std::string_view key) const {
  if (!value_->is_object()) FailType("an object");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return HfJson(*found, *file_,
                path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

HfJson HfJson::Get(std::string_view key) const {
  if (auto found = Find(key)) return std::move(*found);
  throw Error("missing",
              {.file = *file_,
               .field = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key)});
}

std::vector<HfJson> HfJson::Items() const {
  if (!value_->is_array()) FailType("an array");
  std::vector<HfJson> items;
  for (size_t i = 0; i < value_->size(); ++i) {
    items.emplace_back((*value_)[i], *file_, fmt::format("{}[{}]", path_, i));
  }
  return items;
}

const std::string& HfJson::String() const {
  if (!value_->is_string()) FailType("a string");
  return value_->get_ref<const std::string&>();
}

bool HfJson::Bool() const {
  if (!value_->is_boolean()) FailType("true or false");
  return value_->get<bool>();
}

int64_t HfJson::Int(int64_t min, int64_t max) const {
  if (!value_->is_number_integer()) FailType("a whole number");
  const bool fits = !value_->is_number_unsigned() || value_->get<uint64_t>() <= INT64_MAX;
  const int64_t number = fits ? value_->get<int64_t>() : INT64_MAX;
  if (!fits || number < min || number > max) {
    Fail("out of range", value_->dump(), fmt::format("{} to {}", min, max));
  }
  return number;
}

bool HfJson::BoolOr(std::string_view key, bool otherwise) const {
  const auto found = Find(key);
  return found ? found->Bool() : otherwise;
}

void HfJson::Fail(const std::string& message, std::string found, std::string allowed) const {
  throw Error(message, {.file = *file_,
                        .field = path_.size() > 200 ? path_.substr(0, 200) + "…" : path_,
                        .found = std::move(found),
                        .allowed = std::move(allowed)});
}

void HfJson::FailType(const char* allowed) const {
  const bool is_scalar = value_->is_number() || value_->is_boolean();
  std::string found = value_->is_string() ? Quoted(value_->get_ref<const std::string&>())
                      : is_scalar         ? value_->dump()
                                          : std::string(value_->type_name());
  Fail("has the wrong type", std::move(found), allowed);
}

}  // namespace spark
