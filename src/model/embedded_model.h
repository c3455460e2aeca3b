// The default model, part of the library: data/spark-tiny.gguf.
#ifndef SPARK_MODEL_EMBEDDED_MODEL_H_
#define SPARK_MODEL_EMBEDDED_MODEL_H_

#include <cstddef>
#include <span>

extern "C" const std::byte spark_embedded_model_begin[];
extern "C" const std::byte spark_embedded_model_end[];

namespace spark {

inline std::span<const std::byte> EmbeddedModelBytes() {
  return {spark_embedded_model_begin, spark_embedded_model_end};
}

}  // namespace spark

#endif  // SPARK_MODEL_EMBEDDED_MODEL_H_
