// The tiny GGUF Llama under another architecture's name.
#ifndef SPARK_TESTS_SUPPORT_TINY_ARCHITECTURE_H_
#define SPARK_TESTS_SUPPORT_TINY_ARCHITECTURE_H_

#include <string>

#include "tests/support/tiny_llama.h"

namespace spark::test {

// Keys only: the tensors stay those of a Llama.
inline GgufWriter WithArchitecture(const std::string& name, const TinyLlama& model = {}) {
  GgufWriter writer = MakeTinyLlama(model);
  for (auto& pair : writer.pairs) {
    if (pair.key.starts_with("llama.")) pair.key = name + pair.key.substr(5);
  }
  writer.SetString("general.architecture", name);
  return writer;
}

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_TINY_ARCHITECTURE_H_
