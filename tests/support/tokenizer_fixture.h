// Tokenizers of tests/data/tokenizers: Hugging Face's tokenizer.json made into what GGUF would
// hold.
#ifndef SPARK_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_
#define SPARK_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"
#include "text/bpe_tokenizer.h"

namespace spark::testing {

// Owns the strings that a BpeVocabulary views.
struct OwnedVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> token_types;
  std::vector<std::string> merges;
  std::string pre;

  BpeVocabulary View() const;
};

struct TokenizedText {
  std::string text;
  std::vector<TokenId> ids;
  std::string decoded;
};

// `folder` is one of "gpt2", "llama3", "qwen2", "smollm"; `pre` the name GGUF gives to its
// patterns.
OwnedVocabulary LoadVocabulary(std::string_view folder, std::string_view pre);
std::vector<TokenizedText> LoadExpected(std::string_view folder);

// The fixture tokenizer of SmolLM's family.
std::unique_ptr<Tokenizer> MakeSmolTokenizer();

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_TOKENIZER_FIXTURE_H_
