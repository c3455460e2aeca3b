// The tokenizer of a folder in Hugging Face's format: tokenizer.json and what lies beside it.
#ifndef SPARK_TEXT_HF_TOKENIZER_H_
#define SPARK_TEXT_HF_TOKENIZER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "spark/tokenizer.h"

namespace spark {

// Null if the folder has no tokenizer.json. `min_size`: ids that the model knows; those beyond the
// file's tokens stand for nothing. Throws Error, naming file and field, for what is not supported
// or contradicts itself.
std::unique_ptr<Tokenizer> LoadHfTokenizer(const std::string& folder, size_t min_size = 0);

}  // namespace spark

#endif  // SPARK_TEXT_HF_TOKENIZER_H_
