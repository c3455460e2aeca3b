// Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM, …) from a vocabulary as GGUF stores it.
#ifndef SPARK_TEXT_BPE_TOKENIZER_H_
#define SPARK_TEXT_BPE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"
#include "text/added_tokens.h"
#include "text/token_table.h"

namespace spark {

// The metadata `tokenizer.ggml.*` of a file whose `tokenizer.ggml.model` is "gpt2". The views need
// to live until MakeBpeTokenizer returns. Ids are -1 where the file has none.
struct BpeVocabulary {
  std::vector<std::string_view> tokens;  // normal ones in the byte alphabet (text/byte_alphabet.h)
  std::vector<int32_t> token_types;      // TokenType of each token; empty: all normal
  std::vector<std::string_view> merges;  // "left right", first to merge first
  std::string_view pre;                  // a name of PreTokenizerNames()
  TokenId bos = -1;
  TokenId eos = -1;
  TokenId eot = -1;               // end of a turn, where it is not the end of text
  std::optional<bool> add_bos{};  // nothing: as is usual for `pre`
  bool add_eos = false;
};

// Throws Error, naming the field, for a vocabulary that contradicts itself: another number of types
// than tokens, a normal token outside the byte alphabet, a merge from or into what is not a token,
// an id outside the vocabulary, an unknown `pre`. Text is not normalised first (as in llama.cpp;
// the original of Qwen composes characters, NFC).
std::unique_ptr<Tokenizer> MakeBpeTokenizer(const BpeVocabulary& vocabulary);

// Shared with the other kinds of vocabularies in GGUF files: refuses an id outside [-1,
// vocab_size), finds the control and user-defined tokens, and those that end an answer.
void CheckTokenId(TokenId id, const char* field, size_t vocab_size);
AddedTokens FindAddedTokens(const TokenTable& tokens);
std::vector<TokenId> FindEndOfText(const TokenTable& tokens, TokenId eos, TokenId eot);

}  // namespace spark

#endif  // SPARK_TEXT_BPE_TOKENIZER_H_
