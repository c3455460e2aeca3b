// A table of tensors to weights by role: every name expected, every shape right, nothing left over.
#ifndef SPARK_MODEL_WEIGHTS_LOAD_H_
#define SPARK_MODEL_WEIGHTS_LOAD_H_

#include <cstdint>
#include <span>
#include <string>

#include "io/tensor.h"
#include "model/config.h"
#include "model/weights.h"

namespace spark {

enum class TensorNames : uint8_t {
  kGguf,         // "blk.0.attn_q.weight"
  kHuggingFace,  // "model.layers.0.self_attn.q_proj.weight"
};

enum class TiedOutput : uint8_t {
  kNo,        // the file must have an output matrix
  kYes,       // the token embedding is used, also if there is an output matrix
  kIfAbsent,  // GGUF: the token embedding is used if there is no output matrix
};

// Throws Error for a tensor that is missing, has another shape than `config` asks for, or is not
// known: a bias, say, whose absence from the computation would change the result. `config` has
// passed CheckConfig; matrices are views of the tensors' data; `file` is for messages.
Weights LoadWeights(const ModelConfig& config, std::span<const StoredTensor> tensors,
                    TensorNames names, TiedOutput tied, const std::string& file);

}  // namespace spark

#endif  // SPARK_MODEL_WEIGHTS_LOAD_H_
