#include "text/hf_tokenizer.h"

#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quoted.h"
#include "io/json.h"
#include "spark/error.h"
#include "text/hf_config.h"
#include "text/hf_json.h"
#include "text/hf_stages.h"
#include "text/hf_vocabulary.h"
#include "text/pipeline.h"

namespace spark {
namespace {

std::string TokenizerFile(const std::string& folder) {
  return (std::filesystem::path(folder) / "tokenizer.json").string();
}

void CheckModelType(const HfJson& document) {
  const HfJson type = document.Get("model").Get("type");
  if (type.String() == "BPE") return;
  type.Fail("unsupported kind of tokenizer", Quoted(type.String()), "\"BPE\"");
}

void CheckId(TokenId id, const char* field, const std::string& file, size_t n_tokens) {
  if (id < 0 || static_cast<size_t>(id) < n_tokens) return;
  throw Error("not a token", {.file = file,
                              .field = field,
                              .found = std::to_string(id),
                              .allowed = "below " + std::to_string(n_tokens)});
}

// -1 for an empty name, and for one that is no token.
TokenId FindNamed(const TokenTable& tokens, std::string_view name) {
  return name.empty() ? -1 : tokens.Find(name);
}

// bos, eos and what else ends an answer. What the post-processor puts around a text comes first.
void SetEnds(const HfStages& stages, const HfTokenizerConfig& config, const std::string& folder,
             Pipeline& pipeline) {
  const TokenTable& tokens = *pipeline.tokens;
  const TokenId named_bos = FindNamed(tokens, config.bos_token);
  const TokenId named_eos = FindNamed(tokens, config.eos_token);
  const TokenId first_eos = config.eos_ids.empty() ? -1 : config.eos_ids.front();
  pipeline.bos = stages.prefix >= 0 ? stages.prefix : named_bos >= 0 ? named_bos : config.bos_id;
  pipeline.eos = stages.suffix >= 0 ? stages.suffix : named_eos >= 0 ? named_eos : first_eos;
  pipeline.add_bos = config.add_bos.value_or(stages.prefix >= 0) && pipeline.bos >= 0;
  pipeline.add_eos = config.add_eos.value_or(stages.suffix >= 0) && pipeline.eos >= 0;
  const std::string file = TokenizerFile(folder);
  CheckId(stages.prefix, "post_processor", file, tokens.size());
  CheckId(stages.suffix, "post_processor", file, tokens.size());
  CheckId(pipeline.bos, "bos_token_id", folder, tokens.size());
  CheckId(pipeline.eos, "eos_token_id", folder, tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenType type = tokens.Type(id);
    const bool is_added = type == TokenType::kControl || type == TokenType::kUserDefined;
    if (is_added && IsEndOfTextName(tokens.Bytes(id))) pipeline.end_of_text.push_back(id);
  }
  for (const TokenId id : config.eos_ids) {
    CheckId(id, "eos_token_id", folder, tokens.size());
    pipeline.end_of_text.push_back(id);
  }
  if (pipeline.eos >= 0) pipeline.end_of_text.push_back(pipeline.eos);
}

}  // namespace

std::unique_ptr<Tokenizer> LoadHfTokenizer(const std::string& folder, size_t min_size) {
  const std::string path = TokenizerFile(folder);
  if (!std::filesystem::exists(path)) return nullptr;
  const nlohmann::json json = ParseJsonFile(path);
  const HfJson document(json, path);
  CheckModelType(document);
  HfStages stages = ReadHfStages(document);

  Pipeline pipeline{.tokens = ReadHfTokens(document, stages, min_size), .model = {}, .added = {}};
  const HfJson model = document.Get("model");
  pipeline.model = ReadHfModel(model, *pipeline.tokens, stages.is_byte_level);
  pipeline.added = ReadHfAddedTokens(document, stages.normalizer);
  pipeline.whole_pieces_first = model.BoolOr("ignore_merges", false);
  if (!stages.is_byte_level) {
    pipeline.decoded = DecodeHfTokens(*pipeline.tokens, stages);
    if (!pipeline.whole_pieces_first) pipeline.space_cuts.emplace(*pipeline.tokens);
  }
  pipeline.drops_first_space = stages.drops_first_space;
  SetEnds(stages, ReadHfTokenizerConfig(folder), folder, pipeline);
  pipeline.normalizer = std::move(stages.normalizer);
  pipeline.pre_normalizer = std::move(stages.pre_normalizer);
  pipeline.pre_tokenizer = std::move(stages.pre_tokenizer);
  return MakeTokenizer(std::move(pipeline));
}

}  // namespace spark
