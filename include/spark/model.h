// A loaded model: weights in their file, hyperparameters, tokenizer.
#ifndef SPARK_MODEL_H_
#define SPARK_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spark/chat.h"
#include "spark/tokenizer.h"

namespace spark {

class ModelFile;
struct ModelConfig;
struct Weights;

struct ModelOptions {
  bool use_mmap = true;   // false: read the file into memory
  bool validate = false;  // scan every weight for NaN and infinity (slow)
};

struct ModelInfo {
  std::string name;          // general.name, or the file's
  std::string arch;          // "llama"
  std::string quantization;  // the type that holds most weights: "q4_1", "bf16", …
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  size_t context_length = 0;  // tokens the model was trained for
  size_t n_layers = 0;
  size_t n_heads = 0;
  size_t n_kv_heads = 0;
  size_t head_dim = 0;
  size_t vocab_size = 0;
  std::vector<size_t> windows;  // [n_layers] how many tokens a token sees there; 0: all
};

// Immutable and cheap to share: sessions keep a reference to it. Movable.
class Model {
 public:
  // `path`: a .gguf (of a split model any part: the others lie beside it), a .safetensors beside
  // its config.json, or a folder with config.json and model.safetensors or
  // model.safetensors.index.json. Throws Error (one line: file, offset, field, found, allowed).
  static Model Load(const std::string& path, const ModelOptions& options = {});

  // The small model that is part of the library (data/spark-tiny.gguf).
  static Model LoadEmbedded(const ModelOptions& options = {});

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelInfo& info() const;

  // Null when the file carries no vocabulary (safetensors): prompts are token ids then.
  const Tokenizer* tokenizer() const;

  // The chat format that the file's template was recognised as; nothing when it has no template.
  // Throws Error when it has one that is not recognised.
  std::optional<ChatFormat> chat_format() const;

  // 16 hexadecimal digits: the same for files with the same hyperparameters and weights, wherever
  // they lie and however many there are. Of every tensor only the ends are looked at.
  std::string fingerprint() const;

  // For the library's own layers.
  const ModelConfig& config() const;
  const Weights& weights() const;

 private:
  struct Impl;
  static Model FromFile(ModelFile file, const ModelOptions& options);
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spark

#endif  // SPARK_MODEL_H_
