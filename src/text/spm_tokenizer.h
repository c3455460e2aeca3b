// SentencePiece's byte-pair encoding (Llama 2, Gemma) from a vocabulary as GGUF stores it.
#ifndef SPARK_TEXT_SPM_TOKENIZER_H_
#define SPARK_TEXT_SPM_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

// The metadata `tokenizer.ggml.*` of a file whose `tokenizer.ggml.model` is "llama". The views need
// to live until MakeSpmTokenizer returns. Ids are -1 where the file has none.
struct SpmVocabulary {
  std::vector<std::string_view> tokens;  // UTF-8, with ▁ for a space
  std::vector<int32_t> token_types;      // TokenType of each token; empty: all normal
  std::vector<float> scores;             // one a token; of two merges the higher comes first
  TokenId bos = -1;
  TokenId eos = -1;
  TokenId eot = -1;
  TokenId unknown = -1;  // what stands for a character without token, where bytes have none either
  bool add_bos = true;
  bool add_eos = false;
  bool add_space_prefix = true;  // a space goes before the text and behind each special token
};

// Throws Error, naming the field, for a vocabulary that contradicts itself: another number of types
// or scores than tokens, a score that is not finite, a byte token that names no byte, an id outside
// the vocabulary.
std::unique_ptr<Tokenizer> MakeSpmTokenizer(const SpmVocabulary& vocabulary);

}  // namespace spark

#endif  // SPARK_TEXT_SPM_TOKENIZER_H_
