// The stages of a tokenizer.json, but for its vocabulary.
#ifndef SPARK_TEXT_HF_STAGES_H_
#define SPARK_TEXT_HF_STAGES_H_

#include <string>
#include <vector>

#include "spark/tokenizer.h"
#include "text/hf_json.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/token_table.h"

namespace spark {

// `normalizer`, `pre_tokenizer`, `post_processor` and `decoder`. What is not known is refused by
// name.
struct HfStages {
  Normalizer normalizer;
  Normalizer pre_normalizer;  // what pre-tokenizers do to the text they cut
  PreTokenizer pre_tokenizer;
  bool is_byte_level = false;  // the vocabulary is written in the byte alphabet

  // How a token decodes: its replacements in turn, then whether "<0x0A>" is a byte.
  struct Replacement {
    std::string from;
    std::string to;
  };
  std::vector<Replacement> decode_replacements;
  bool decodes_bytes = false;
  bool drops_first_space = false;

  TokenId prefix = -1;  // what the post-processor puts before a text, and behind it; -1: nothing
  TokenId suffix = -1;
};

HfStages ReadHfStages(const HfJson& document);

// By `stages`, which are not byte-level.
StringTable DecodeHfTokens(const TokenTable& tokens, const HfStages& stages);

}  // namespace spark

#endif  // SPARK_TEXT_HF_STAGES_H_
