// Hyperparameters from a file's metadata to a checked ModelConfig.
#ifndef SPARK_MODEL_CONFIG_LOAD_H_
#define SPARK_MODEL_CONFIG_LOAD_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "io/gguf.h"
#include "model/config.h"

namespace spark {

// From `general.architecture` and the keys of that architecture. Throws Error for an architecture
// that is not supported, for values that are missing, mis-typed or absurd, and for features that
// would silently change the result.
ModelConfig ConfigFromGguf(const GgufFile& file);

struct HuggingFaceConfig {
  ModelConfig model;
  bool tied_embeddings;  // the output matrix is the token embedding, whatever the file holds
};

// From a Hugging Face `config.json`; `path` is for messages.
HuggingFaceConfig ConfigFromHuggingFace(const nlohmann::json& json, const std::string& path);

// The part of CheckConfig() that must come before config.layers is filled: sizes and counts.
void CheckSizes(const ModelConfig& config, const std::string& file);

// What both end with: every size within sane limits and fitting the others, so that nothing that is
// computed from them overflows. Throws Error naming the value. `file` is for messages.
void CheckConfig(const ModelConfig& config, const std::string& file);

}  // namespace spark

#endif  // SPARK_MODEL_CONFIG_LOAD_H_
