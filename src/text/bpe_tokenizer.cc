#include "text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <utility>

#include "spark/error.h"
#include "text/pipeline.h"

namespace spark {

void CheckTokenId(TokenId id, const char* field, size_t vocab_size) {
  if (id >= -1 && id < static_cast<int64_t>(vocab_size)) return;
  throw Error("not a token", {.field = field,
                              .found = fmt::format("{}", id),
                              .allowed = fmt::format("below {}", vocab_size)});
}

AddedTokens FindAddedTokens(const TokenTable& tokens) {
  AddedTokens added;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenType type = tokens.Type(id);
    const bool is_special = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!is_special && type != TokenType::kUserDefined) continue;
    added.Add({.content = tokens.Bytes(id), .id = id, .special = is_special});
  }
  return added;
}

std::vector<TokenId> FindEndOfText(const TokenTable& tokens, TokenId eos, TokenId eot) {
  std::vector<TokenId> found;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenType type = tokens.Type(id);
    const bool is_text = type == TokenType::kNormal || type == TokenType::kByte;
    if (!is_text && IsEndOfTextName(tokens.Bytes(id))) found.push_back(id);
  }
  for (const TokenId id : {eos, eot}) {
    if (id >= 0) found.push_back(id);
  }
  return found;
}

std::unique_ptr<Tokenizer> MakeBpeTokenizer(const BpeVocabulary& vocabulary) {
  auto tokens = std::make_unique<TokenTable>(vocabulary.tokens, vocabulary.token_types);
  auto model = MakeByteBpe(*tokens, BpeMerges(ReadGgufMerges(vocabulary.merges, *tokens)));
  PreTokenizerFamily family = MakePreTokenizer(vocabulary.pre);
  CheckTokenId(vocabulary.bos, "tokenizer.ggml.bos_token_id", tokens->size());
  CheckTokenId(vocabulary.eos, "tokenizer.ggml.eos_token_id", tokens->size());
  CheckTokenId(vocabulary.eot, "tokenizer.ggml.eot_token_id", tokens->size());
  AddedTokens added = FindAddedTokens(*tokens);
  std::vector<TokenId> end_of_text = FindEndOfText(*tokens, vocabulary.eos, vocabulary.eot);
  return MakeTokenizer({.tokens = std::move(tokens),
                        .model = std::move(model),
                        .added = std::move(added),
                        .pre_tokenizer = std::move(family.pre_tokenizer),
                        .whole_pieces_first = family.whole_pieces_first,
                        .bos = vocabulary.bos,
                        .eos = vocabulary.eos,
                        .add_bos = vocabulary.add_bos.value_or(family.add_bos),
                        .add_eos = vocabulary.add_eos,
                        .end_of_text = std::move(end_of_text)});
}

}  // namespace spark
