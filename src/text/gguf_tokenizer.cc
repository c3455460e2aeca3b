#include "text/gguf_tokenizer.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/quoted.h"
#include "text/bpe_tokenizer.h"
#include "text/spm_tokenizer.h"

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

std::vector<std::string_view> ReadStrings(const GgufMetadata& metadata, std::string_view key) {
  auto strings = metadata.FindStrings(key);
  return strings ? std::move(*strings) : std::vector<std::string_view>();
}

std::vector<int32_t> ReadTypes(const GgufMetadata& metadata) {
  std::vector<int32_t> read;
  if (const auto types = metadata.FindInts("tokenizer.ggml.token_type")) {
    for (const int64_t type : *types) {
      // A number beyond 32 bits is no type either way.
      const bool fits = type == static_cast<int32_t>(type);
      read.push_back(fits ? static_cast<int32_t>(type) : std::numeric_limits<int32_t>::min());
    }
  }
  return read;
}

BpeVocabulary ReadBpeVocabulary(const GgufMetadata& metadata) {
  return {.tokens = ReadStrings(metadata, "tokenizer.ggml.tokens"),
          .token_types = ReadTypes(metadata),
          .merges = ReadStrings(metadata, "tokenizer.ggml.merges"),
          .pre = metadata.FindString("tokenizer.ggml.pre").value_or(""),
          .bos = FindId(metadata, "tokenizer.ggml.bos_token_id"),
          .eos = FindId(metadata, "tokenizer.ggml.eos_token_id"),
          .eot = FindId(metadata, "tokenizer.ggml.eot_token_id"),
          .add_bos = metadata.FindBool("tokenizer.ggml.add_bos_token"),
          .add_eos = metadata.FindBool("tokenizer.ggml.add_eos_token").value_or(false)};
}

// Where the file is silent, what is usual for such models (as in llama.cpp).
SpmVocabulary ReadSpmVocabulary(const GgufMetadata& metadata) {
  const auto flag = [&metadata](std::string_view key, bool otherwise) {
    return metadata.FindBool(key).value_or(otherwise);
  };
  auto scores = metadata.FindFloats("tokenizer.ggml.scores");
  return {.tokens = ReadStrings(metadata, "tokenizer.ggml.tokens"),
          .token_types = ReadTypes(metadata),
          .scores = scores ? std::move(*scores) : std::vector<float>(),
          .bos = FindId(metadata, "tokenizer.ggml.bos_token_id"),
          .eos = FindId(metadata, "tokenizer.ggml.eos_token_id"),
          .eot = FindId(metadata, "tokenizer.ggml.eot_token_id"),
          .unknown = FindId(metadata, "tokenizer.ggml.unknown_token_id"),
          .add_bos = flag("tokenizer.ggml.add_bos_token", true),
          .add_eos = flag("tokenizer.ggml.add_eos_token", false),
          .add_space_prefix = flag("tokenizer.ggml.add_space_prefix", true)};
}

}  // namespace

std::unique_ptr<Tokenizer> LoadTokenizer(const GgufMetadata& metadata) {
  constexpr std::string_view kModel = "tokenizer.ggml.model";
  const auto model = metadata.FindString(kModel);
  if (!model || *model == "no_vocab") return nullptr;
  if (*model == "gpt2") return MakeBpeTokenizer(ReadBpeVocabulary(metadata));
  if (*model == "llama") return MakeSpmTokenizer(ReadSpmVocabulary(metadata));
  metadata.Fail(kModel, "unsupported kind of tokenizer", Quoted(*model),
                "\"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece BPE)");
}

}  // namespace spark
