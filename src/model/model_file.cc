#include "model/model_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/dequantize.h"
#include "io/byte_reader.h"
#include "io/json.h"
#include "io/safetensors_index.h"
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

// The file itself, or all that an index names.
std::vector<SafetensorsFile> OpenSafetensors(const std::string& path, MapMode mode) {
  if (path.ends_with(".index.json")) return SafetensorsIndex::Read(path).OpenShards(mode);
  std::vector<SafetensorsFile> files;
  files.push_back(SafetensorsFile::Open(path, mode));
  return files;
}

std::string WeightsInFolder(const fs::path& folder) {
  if (!IsFile(folder / kConfig)) {
    throw Error("no config.json in this folder", ErrorContext{.file = folder.string()});
  }
  for (const char* name : {kSingle, kIndex}) {
    if (IsFile(folder / name)) return (folder / name).string();
  }
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
    file.LoadSafetensors(WeightsInFolder(path), mode);
  } else if (BeginsWithGguf(path) || path.ends_with(".gguf")) {
    file.gguf_ = GgufFile::Open(path, mode);
    file.LoadGguf();
  } else if (path.ends_with(".safetensors") || path.ends_with(".index.json")) {
    file.folder_ = fs::path(path).parent_path().string();
    file.LoadSafetensors(path, mode);
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

void ModelFile::LoadSafetensors(const std::string& path, MapMode mode) {
  if (folder_.empty()) folder_ = std::string(1, '.');  // "=" of a literal: GCC 12 warns
  const fs::path config = fs::path(folder_) / kConfig;
  if (!IsFile(config)) {
    throw Error("config.json is missing beside the weights", ErrorContext{.file = path_});
  }
  const HuggingFaceConfig parsed =
      ConfigFromHuggingFace(ParseJsonFile(config.string()), config.string());
  config_ = parsed.model;

  safetensors_ = OpenSafetensors(path, mode);
  for (const SafetensorsFile& file : safetensors_) {
    file_bytes_ += file.file_bytes();
    for (const auto& [name, tensor] : file.tensors()) tensors_.push_back(file.AsWeight(tensor));
  }
  // One order, however many files there are: Fingerprint() takes the tensors as they come.
  std::sort(tensors_.begin(), tensors_.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
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
