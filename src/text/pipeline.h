// The tokenizer that all formats are read into: added tokens, normalizer, pre-tokenizer, byte-pair
// model.
#ifndef SPARK_TEXT_PIPELINE_H_
#define SPARK_TEXT_PIPELINE_H_

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/space_cuts.h"
#include "text/subword_model.h"
#include "text/token_table.h"

namespace spark {

// All ids are tokens, or -1 for none.
struct Pipeline {
  std::unique_ptr<const TokenTable> tokens;
  std::unique_ptr<const SubwordModel> model;
  AddedTokens added;
  Normalizer normalizer{};
  Normalizer pre_normalizer{};  // applied to each text that is cut, behind added tokens
  PreTokenizer pre_tokenizer{};
  std::optional<SpaceCuts> space_cuts{};
  bool whole_pieces_first = false;       // a piece that is a token is not merged
  std::optional<StringTable> decoded{};  // what tokens decode to, if not to their bytes
  bool drops_first_space = false;        // see Tokenizer::Decode
  TokenId bos = -1;
  TokenId eos = -1;
  bool add_bos = false;
  bool add_eos = false;
  std::vector<TokenId> end_of_text{};
};

std::unique_ptr<Tokenizer> MakeTokenizer(Pipeline pipeline);

// Whether a token of this name ends an answer. Files often name only one of those that do.
bool IsEndOfTextName(std::string_view name);

// How the tokens of a SentencePiece vocabulary decode: ▁ is a space, "<0x0A>" a byte. User-defined
// and control tokens are left as they are.
StringTable DecodeSentencePieces(const TokenTable& tokens);

}  // namespace spark

#endif  // SPARK_TEXT_PIPELINE_H_
