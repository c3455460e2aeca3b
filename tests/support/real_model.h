// Files that are not part of the repository: a downloaded model, and a text that is not ours to
// copy. Tests that need one say that they are skipped when it is not there.
#ifndef SPARK_TESTS_SUPPORT_REAL_MODEL_H_
#define SPARK_TESTS_SUPPORT_REAL_MODEL_H_

#include <optional>
#include <string>

namespace spark::testing {

// SmolLM2-135M-Instruct Q4_1: $SPARK_SMOLLM2, else models/smollm2.gguf (scripts/get-model.sh
// smollm2).
std::optional<std::string> SmolLm2Path();

// Gemma 3 270M Q4_K_M: $SPARK_GEMMA3, else models/gemma3-270m.gguf (scripts/get-model.sh gemma3).
std::optional<std::string> Gemma3Path();

// What a file of $SPARK_SHARED holds, else of ../shared beside the checkout.
std::optional<std::string> SharedText(const std::string& name);

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_REAL_MODEL_H_
