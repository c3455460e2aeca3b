#include "model/model_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "backend/dequantize.h"
#include "io/byte_reader.h"
#include "io/json.h"
#include "model/config_load.h"
#include "model/weights_load.h"
#include "spark/error.h"

namespace spark {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) && !fs::is_directory(path, ignored);
}

bool BeginsWithGguf(const std::string& path) {
  const MappedFile file = MappedFile::Open(path);
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}

// The files that an index names, which lie beside it: {"weight_map": {TENSOR: FILE, …}, …}.
std::vector<std::string> ReadIndex(const std::string& path) {
  const nlohmann::json index = ParseJsonFile(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object() || map->empty()) {
    throw Error("missing or not an object", ErrorContext{.file = path, .field = "weight_map"});
  }
  std::set<std::string> names;
  for (const auto& [tensor, name] : map->items()) {
    // A file name and no path: an index must not reach outside its folder.
    if (!name.is_string() || name.get<std::string>().find_first_of("/\\") != std::string::npos ||
        !name.get<std::string>().ends_with(".safetensors")) {
      throw Error("not the name of a .safetensors file",
                  ErrorContext{.file = path, .field = "weight_map", .found = Quoted(name.dump())});
    }
    names.insert(name.get<std::string>());
  }
  std::vector<std::string> files;
  for (const std::string& name : names)
    files.push_back((fs::path(path).parent_path() / name).string());
  return files;
}

std::vector<std::string> FilesInFolder(const fs::path& folder) {
  if (!IsFile(folder / kConfig)) {
    throw Error("no config.json in this folder", ErrorContext{.file = folder.string()});
  }
  if (IsFile(folder / kSingle)) return {(folder / kSingle).string()};
  if (IsFile(folder / kIndex)) return ReadIndex((folder / kIndex).string());
  throw Error(fmt::format("neither {} nor {} in this folder", kSingle, kIndex),
              ErrorContext{.file = folder.string()});
}

}  // namespace

ModelFile ModelFile::Open(const std::string& path, MapMode mode) {
  ModelFile file;
  file.path_ = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    file.folder_ = path;
    file.LoadSafetensors(FilesInFolder(path), mode);
  } else if (BeginsWithGguf(path) || path.ends_with(".gguf")) {
    file.gguf_ = GgufFile::Open(path, mode);
    file.LoadGguf();
  } else if (path.ends_with(".safetensors")) {
    file.folder_ = fs::path(path).parent_path().string();
    file.LoadSafetensors({path}, mode);
  } else if (path.ends_with(".index.json")) {
    file.folder_ = fs::path(path).parent_path().string();
    file.LoadSafetensors(ReadIndex(path), mode);
  } else {
    throw Error("not a model", ErrorContext{.file = path,
                                            .allowed = "a GGUF file, a .safetensors file, its "
                                                       ".index.json, a folder with config.json"});
  }
  return file;
}

ModelFile ModelFile::FromMemory(std::span<const std::byte> bytes, std::string name) {
  ModelFile file;
  file.path_ = name;
  file.gguf_ = GgufFile::FromMemory(bytes, std::move(name));
  file.LoadGguf();
  return file;
}

void ModelFile::LoadGguf() {
  config_ = ConfigFromGguf(*gguf_);
  tensors_ = gguf_->tensors();
  file_bytes_ = gguf_->file_bytes();
  weights_ = LoadWeights(config_, tensors_, TensorNames::kGguf, TiedOutput::kIfAbsent, path_);
  Summarise();
}

void ModelFile::LoadSafetensors(const std::vector<std::string>& files, MapMode mode) {
  if (folder_.empty()) folder_ = ".";
  const fs::path config = fs::path(folder_) / kConfig;
  if (!IsFile(config)) {
    throw Error("config.json is missing beside the weights", ErrorContext{.file = path_});
  }
  const HuggingFaceConfig parsed =
      ConfigFromHuggingFace(ParseJsonFile(config.string()), config.string());
  config_ = parsed.model;

  std::set<std::string_view> names;
  safetensors_.reserve(files.size());
  for (const std::string& path : files) {
    const SafetensorsFile& file = safetensors_.emplace_back(SafetensorsFile::Open(path, mode));
    file_bytes_ += file.file_bytes();
    for (const auto& [name, tensor] : file.tensors()) {
      if (!names.insert(name).second) {
        throw Error("tensor is in another file too",
                    ErrorContext{.file = path, .field = "tensor " + Quoted(name)});
      }
      tensors_.push_back(file.AsWeight(tensor));
    }
  }
  weights_ = LoadWeights(config_, tensors_, TensorNames::kHuggingFace,
                         parsed.tied_embeddings ? TiedOutput::kYes : TiedOutput::kNo, path_);
  Summarise();
}

void ModelFile::Summarise() {
  std::array<uint64_t, std::size(kAllDTypes)> bytes = {};
  for (const StoredTensor& tensor : tensors_) {
    parameters_ += tensor.elements();
    if (tensor.shape.size() > 1) bytes[static_cast<size_t>(tensor.type)] += tensor.bytes;
  }
  main_type_ = static_cast<DType>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
}

void ModelFile::ValidateFinite() const {
  for (const StoredTensor& tensor : tensors_) {
    const size_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (cols == 0) continue;
    const Weight weight{tensor.type, tensor.elements() / cols, cols, tensor.data};
    if (const auto element = FindNonFinite(weight)) {
      throw Error("weight is NaN or infinite",
                  ErrorContext{
                      .file = path_,
                      .field = fmt::format("tensor {}", Quoted(tensor.name)),
                      .found = fmt::format("row {}, column {}", *element / cols, *element % cols)});
    }
  }
}

}  // namespace spark
