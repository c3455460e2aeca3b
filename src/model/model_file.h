// A model on disk, or embedded in the program: open file, hyperparameters, weights by role.
#ifndef SPARK_MODEL_MODEL_FILE_H_
#define SPARK_MODEL_MODEL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "model/weights.h"

namespace spark {

// Move-only; weights() stays valid when it is moved.
class ModelFile {
 public:
  // `path` is a GGUF file (known by its first bytes; of a split one any part), a .safetensors file
  // with config.json beside it, a `….safetensors.index.json` that lists several, or a folder that
  // holds config.json and model.safetensors or model.safetensors.index.json. Throws Error if any
  // part is missing or wrong.
  static ModelFile Open(const std::string& path, MapMode mode = MapMode::kMmap);

  // GGUF bytes that outlive the object; `name` stands for the path in messages.
  static ModelFile FromMemory(std::span<const std::byte> bytes, std::string name);

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }

  // For the tokenizer: the GGUF file with its metadata, or null, and then the folder in which
  // tokenizer.json may lie (empty for GGUF).
  const GgufFile* gguf() const { return gguf_ ? &*gguf_ : nullptr; }
  const std::string& folder() const { return folder_; }

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  uint64_t parameters() const { return parameters_; }  // elements of all tensors
  uint64_t file_bytes() const { return file_bytes_; }  // of all files with weights
  // The type that holds most bytes of the matrices: "q4_1", "bf16", …
  std::string_view quantization() const { return Name(main_type_); }

  // `--validate`: throws Error naming tensor and element if a weight is NaN or infinite. Reads
  // every page of the file.
  void ValidateFinite() const;

 private:
  ModelFile() = default;
  void LoadGguf();
  void LoadSafetensors(const std::string& path, MapMode mode);
  void Summarise();

  std::string path_;
  std::string folder_;
  std::optional<GgufFile> gguf_;
  std::vector<SafetensorsFile> safetensors_;
  std::vector<StoredTensor> tensors_;  // all, of all files
  ModelConfig config_;
  Weights weights_;
  uint64_t parameters_ = 0;
  uint64_t file_bytes_ = 0;
  DType main_type_ = DType::kF32;
};

}  // namespace spark

#endif  // SPARK_MODEL_MODEL_FILE_H_
