// `model` and `added_tokens` of a tokenizer.json.
#ifndef SPARK_TEXT_HF_VOCABULARY_H_
#define SPARK_TEXT_HF_VOCABULARY_H_

#include <cstddef>
#include <memory>

#include "text/added_tokens.h"
#include "text/hf_json.h"
#include "text/hf_stages.h"
#include "text/subword_model.h"
#include "text/token_table.h"

namespace spark {

// Tokens by id, with at least `min_size` of them: ids that stand for nothing are unused and empty.
// Throws Error for an id out of range, or given twice.
std::unique_ptr<const TokenTable> ReadHfTokens(const HfJson& document, const HfStages& stages,
                                               size_t min_size);

AddedTokens ReadHfAddedTokens(const HfJson& document, const Normalizer& normalizer);

// A BPE model over `tokens`, which must outlive it.
std::unique_ptr<const SubwordModel> ReadHfModel(const HfJson& model, const TokenTable& tokens,
                                                bool is_byte_level);

}  // namespace spark

#endif  // SPARK_TEXT_HF_VOCABULARY_H_
