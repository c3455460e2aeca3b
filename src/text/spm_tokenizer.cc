#include "text/spm_tokenizer.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/quoted.h"
#include "spark/error.h"
#include "text/bpe_tokenizer.h"
#include "text/pipeline.h"

namespace spark {
namespace {

void CheckScores(const std::vector<float>& scores, size_t n_tokens) {
  if (scores.size() != n_tokens) {
    throw Error("not one score a token", {.field = "tokenizer.ggml.scores",
                                          .found = fmt::format("{} scores", scores.size()),
                                          .allowed = fmt::format("{}", n_tokens)});
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) continue;
    throw Error("not a finite number", {.field = fmt::format("tokenizer.ggml.scores[{}]", i),
                                        .found = fmt::format("{}", scores[i])});
  }
}

void CheckByteTokens(const TokenTable& tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (tokens.Type(id) != TokenType::kByte || ByteOfToken(tokens.Bytes(id)) >= 0) continue;
    throw Error("a byte token that names no byte",
                {.field = fmt::format("tokenizer.ggml.tokens[{}]", i),
                 .found = Quoted(tokens.Bytes(id)),
                 .allowed = "<0x00> to <0xFF>"});
  }
}

}  // namespace

std::unique_ptr<Tokenizer> MakeSpmTokenizer(const SpmVocabulary& vocabulary) {
  auto tokens =
      std::make_unique<TokenTable>(vocabulary.tokens, vocabulary.token_types, Spelling::kPlain);
  CheckScores(vocabulary.scores, tokens->size());
  CheckByteTokens(*tokens);
  CheckTokenId(vocabulary.bos, "tokenizer.ggml.bos_token_id", tokens->size());
  CheckTokenId(vocabulary.eos, "tokenizer.ggml.eos_token_id", tokens->size());
  CheckTokenId(vocabulary.eot, "tokenizer.ggml.eot_token_id", tokens->size());
  CheckTokenId(vocabulary.unknown, "tokenizer.ggml.unknown_token_id", tokens->size());
  Normalizer normalizer;
  if (vocabulary.add_space_prefix) {
    normalizer.Add({.kind = Normalizer::Kind::kPrepend, .to = std::string(kSpaceMark)});
  }
  normalizer.Add({.kind = Normalizer::Kind::kReplace, .from = " ", .to = std::string(kSpaceMark)});
  auto model =
      MakeScoredBpe(*tokens, vocabulary.scores, {.to_bytes = true, .token = vocabulary.unknown});
  AddedTokens added = FindAddedTokens(*tokens);
  std::vector<TokenId> end_of_text = FindEndOfText(*tokens, vocabulary.eos, vocabulary.eot);
  SpaceCuts space_cuts(*tokens);
  StringTable decoded = DecodeSentencePieces(*tokens);
  return MakeTokenizer({.tokens = std::move(tokens),
                        .model = std::move(model),
                        .added = std::move(added),
                        .normalizer = std::move(normalizer),
                        .space_cuts = std::move(space_cuts),
                        .decoded = std::move(decoded),
                        .drops_first_space = vocabulary.add_space_prefix,
                        .bos = vocabulary.bos,
                        .eos = vocabulary.eos,
                        .add_bos = vocabulary.add_bos,
                        .add_eos = vocabulary.add_eos,
                        .end_of_text = std::move(end_of_text)});
}

}  // namespace spark
