#include "text/gguf_tokenizer.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "text/bpe_tokenizer.h"
#include "text/quoted.h"

namespace spark {
namespace {

TokenId FindId(const GgufMetadata& metadata, std::string_view key) {
  const auto id = metadata.FindUint(key);
  // Some converters write -1 into unsigned fields for "none".
  if (!id || *id == std::numeric_limits<uint32_t>::max()) return -1;
  if (*id > static_cast<uint64_t>(std::numeric_limits<TokenId>::max())) {
    metadata.Fail(key, "not a token", std::to_string(*id));
  }
  return static_cast<TokenId>(*id);
}

BpeVocabulary ReadBpeVocabulary(const GgufMetadata& metadata) {
  BpeVocabulary vocabulary;
  if (auto tokens = metadata.FindStrings("tokenizer.ggml.tokens")) {
    vocabulary.tokens = std::move(*tokens);
  }
  if (auto merges = metadata.FindStrings("tokenizer.ggml.merges")) {
    vocabulary.merges = std::move(*merges);
  }
  if (const auto types = metadata.FindInts("tokenizer.ggml.token_type")) {
    for (const int64_t type : *types) {
      // A number beyond 32 bits is no type either way.
      vocabulary.token_types.push_back(type == static_cast<int32_t>(type)
                                           ? static_cast<int32_t>(type)
                                           : std::numeric_limits<int32_t>::min());
    }
  }
  vocabulary.pre = metadata.FindString("tokenizer.ggml.pre").value_or("");
  vocabulary.bos = FindId(metadata, "tokenizer.ggml.bos_token_id");
  vocabulary.eos = FindId(metadata, "tokenizer.ggml.eos_token_id");
  vocabulary.eot = FindId(metadata, "tokenizer.ggml.eot_token_id");
  // Unless the file says so, byte-level models get no bos, except Llama 3's (as in llama.cpp).
  vocabulary.add_bos = metadata.FindBool("tokenizer.ggml.add_bos_token")
                           .value_or(vocabulary.pre == "llama-bpe" || vocabulary.pre == "llama3");
  return vocabulary;
}

}  // namespace

std::unique_ptr<Tokenizer> LoadTokenizer(const GgufMetadata& metadata) {
  constexpr std::string_view kModel = "tokenizer.ggml.model";
  const auto model = metadata.FindString(kModel);
  if (!model || *model == "no_vocab") return nullptr;
  if (*model != "gpt2") {
    metadata.Fail(kModel, "unsupported kind of tokenizer", Quoted(*model), "\"gpt2\"");
  }
  return MakeBpeTokenizer(ReadBpeVocabulary(metadata));
}

}  // namespace spark
