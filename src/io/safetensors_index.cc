#include "io/safetensors_index.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "io/byte_reader.h"
#include "io/json.h"
#include "spark/error.h"

namespace spark {
namespace {

namespace fs = std::filesystem;

// A file name and no path: an index must not reach outside its folder.
bool IsShardName(const nlohmann::json& name) {
  if (!name.is_string()) return false;
  const auto& text = name.get_ref<const std::string&>();
  return text.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
         text.ends_with(".safetensors");
}

std::string TensorField(std::string_view name) { return "tensor " + Quoted(name); }

}  // namespace

SafetensorsIndex SafetensorsIndex::Read(const std::string& path) {
  const nlohmann::json json = ParseJsonFile(path);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object() || map->empty()) {
    throw Error("missing, or not an object with members",
                ErrorContext{.file = path, .field = "weight_map"});
  }
  SafetensorsIndex index;
  index.path_ = path;
  for (const auto& [tensor, name] : map->items()) {
    if (!IsShardName(name)) {
      throw Error("not a file beside the index",
                  ErrorContext{.file = path,
                               .field = "weight_map: " + TensorField(tensor),
                               .found = Quoted(name.dump()),
                               .allowed = "the name of a .safetensors file"});
    }
    index.shards_[tensor] = (fs::path(path).parent_path() / name.get<std::string>()).string();
  }
  return index;
}

void SafetensorsIndex::CheckTensors(const SafetensorsFile& file) const {
  for (const auto& [tensor, data] : file.tensors()) {
    const auto expected = shards_.find(tensor);
    if (expected == shards_.end()) {
      throw Error("tensor is not in the index",
                  ErrorContext{.file = file.name(), .field = TensorField(tensor)});
    }
    if (expected->second != file.name()) {
      throw Error(
          "tensor is in another file by the index",
          ErrorContext{
              .file = file.name(), .field = TensorField(tensor), .allowed = expected->second});
    }
  }
}

std::vector<SafetensorsFile> SafetensorsIndex::OpenShards(MapMode mode) const {
  std::map<std::string_view, size_t> positions;  // of paths in `files`
  for (const auto& [tensor, shard] : shards_) positions.emplace(shard, 0);
  std::vector<SafetensorsFile> files;
  for (auto& [shard, position] : positions) {
    position = files.size();
    std::error_code ignored;
    if (!fs::exists(shard, ignored)) {
      throw Error(fmt::format("{} names this file, which is missing", path_),
                  ErrorContext{.file = std::string(shard)});
    }
    CheckTensors(files.emplace_back(SafetensorsFile::Open(std::string(shard), mode)));
  }
  for (const auto& [tensor, shard] : shards_) {
    if (files[positions.at(shard)].Find(tensor) == nullptr) {
      throw Error("tensor that the index names is missing",
                  ErrorContext{.file = shard, .field = TensorField(tensor)});
    }
  }
  return files;
}

}  // namespace spark
