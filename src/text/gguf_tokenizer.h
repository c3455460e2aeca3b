// The tokenizer that a GGUF file describes in its keys `tokenizer.ggml.*`.
#ifndef SPARK_TEXT_GGUF_TOKENIZER_H_
#define SPARK_TEXT_GGUF_TOKENIZER_H_

#include <memory>

#include "io/gguf_metadata.h"
#include "spark/tokenizer.h"

namespace spark {

// Null if the file has no vocabulary. Throws Error for a kind that is not supported or a vocabulary
// that contradicts itself. The file may be closed afterwards.
std::unique_ptr<Tokenizer> LoadTokenizer(const GgufMetadata& metadata);

}  // namespace spark

#endif  // SPARK_TEXT_GGUF_TOKENIZER_H_
