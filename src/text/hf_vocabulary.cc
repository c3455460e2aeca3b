#include "text/hf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quoted.h"
#include "text/byte_alphabet.h"

namespace spark {
namespace {

// Tokens by id while they are collected. Views into the document.
class IdTable {
 public:
  // Ids may have gaps, but what they cost must be bounded by the size of the file.
  explicit IdTable(size_t n_tokens) : limit_(static_cast<int64_t>(2 * n_tokens + 1024)) {}

  TokenId ReadId(const HfJson& id) const { return static_cast<TokenId>(id.Int(0, limit_ - 1)); }

  // False if the id has another token already.
  bool Set(TokenId id, std::string_view token, TokenType type) {
    const auto i = static_cast<size_t>(id);
    Resize(i + 1);
    if (is_set_[i] && tokens_[i] != token) return false;
    is_set_[i] = true;
    tokens_[i] = token;
    types_[i] = static_cast<int32_t>(type);
    return true;
  }

  void Resize(size_t size) {
    if (size <= tokens_.size()) return;
    tokens_.resize(size);
    types_.resize(size, static_cast<int32_t>(TokenType::kUnused));
    is_set_.resize(size);
  }

  bool IsSet(TokenId id) const {
    return static_cast<size_t>(id) < is_set_.size() && is_set_[static_cast<size_t>(id)];
  }
  const std::vector<std::string_view>& tokens() const { return tokens_; }
  const std::vector<int32_t>& types() const { return types_; }

 private:
  int64_t limit_;
  std::vector<std::string_view> tokens_;
  std::vector<int32_t> types_;
  std::vector<bool> is_set_;
};

// Of a token of the vocabulary proper. What cannot be read in the byte alphabet cannot occur.
TokenType TypeOf(std::string_view token, const HfStages& stages) {
  if (stages.is_byte_level) {
    std::string bytes;
    return AppendBytesOf(token, bytes) ? TokenType::kNormal : TokenType::kUnused;
  }
  const bool is_byte = stages.decodes_bytes && ByteOfToken(token) >= 0;
  return is_byte ? TokenType::kByte : TokenType::kNormal;
}

[[noreturn]] void FailTwice(const HfJson& id) {
  id.Fail("two tokens have the same id", id.json().dump());
}

void ReadVocabulary(const HfJson& vocab, const HfStages& stages, IdTable& table) {
  for (const auto& [token, value] : vocab.json().get_ref<const nlohmann::json::object_t&>()) {
    // The path is made only for the message: there may be many tokens.
    const HfJson id(value, vocab.file(), vocab.path());
    if (!value.is_number_integer()) {
      vocab.Get(token).Fail("has the wrong type", value.type_name(), "a whole number");
    }
    const TokenId number = table.ReadId(id);
    if (table.IsSet(number) || !table.Set(number, token, TypeOf(token, stages))) FailTwice(id);
  }
}

void ReadAdded(const HfJson& document, const HfStages& stages, IdTable& table) {
  const auto added = document.Find("added_tokens");
  if (!added) return;
  const nlohmann::json& vocab = document.Get("model").Get("vocab").json();
  for (const HfJson& item : added->Items()) {
    const HfJson id = item.Get("id");
    const std::string& content = item.Get("content").String();
    const bool is_byte = stages.decodes_bytes && ByteOfToken(content) >= 0;
    const TokenType type = is_byte                         ? TokenType::kByte
                           : item.BoolOr("special", false) ? TokenType::kControl
                                                           : TokenType::kUserDefined;
    const auto same = vocab.find(content);
    if (same != vocab.end() && *same != id.json()) {
      id.Fail("not the id that model.vocab gives this token", id.json().dump(), same->dump());
    }
    if (!table.Set(table.ReadId(id), content, type)) FailTwice(id);
  }
}

// Either "left right" or ["left", "right"].
std::pair<std::string_view, std::string_view> SplitMerge(const HfJson& merges, size_t i) {
  const nlohmann::json& merge = merges.json()[i];
  const auto fail = [&]() {
    HfJson(merge, merges.file(), fmt::format("{}[{}]", merges.path(), i))
        .Fail("not a pair of tokens", Quoted(merge.dump()), "\"a b\" or [\"a\", \"b\"]");
  };
  if (merge.is_array()) {
    if (merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) fail();
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  if (!merge.is_string()) fail();
  const std::string_view text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) fail();
  return {text.substr(0, space), text.substr(space + 1)};
}

class MergeReader {
 public:
  MergeReader(const HfJson& merges, const TokenTable& tokens, bool is_byte_level)
      : merges_(merges), tokens_(tokens), is_byte_level_(is_byte_level) {}

  std::vector<MergeEntry> Read() {
    if (!merges_.json().is_array()) merges_.Fail("has the wrong type", {}, "an array");
    std::vector<MergeEntry> entries;
    entries.reserve(merges_.json().size());
    for (size_t i = 0; i < merges_.json().size(); ++i) {
      const auto [left, right] = SplitMerge(merges_, i);
      joined_.clear();
      Append(i, left);
      const size_t middle = joined_.size();
      Append(i, right);
      const std::string_view bytes = joined_;
      entries.push_back(
          {Find(i, bytes.substr(0, middle)), Find(i, bytes.substr(middle)), Find(i, bytes)});
    }
    return entries;
  }

 private:
  [[noreturn]] void Fail(size_t i, const char* message, std::string_view token) const {
    HfJson(merges_.json()[i], merges_.file(), fmt::format("{}[{}]", merges_.path(), i))
        .Fail(message, Quoted(token));
  }
  void Append(size_t i, std::string_view token) {
    if (!is_byte_level_) {
      joined_ += token;
    } else if (!AppendBytesOf(token, joined_)) {
      Fail(i, "has a character outside the byte-level alphabet", token);
    }
  }
  TokenId Find(size_t i, std::string_view bytes) const {
    const TokenId id = tokens_.Find(bytes);
    if (id < 0) Fail(i, "what merges, or what it becomes, is not a token", bytes);
    return id;
  }

  const HfJson& merges_;
  const TokenTable& tokens_;
  bool is_byte_level_;
  std::string joined_;
};

// Options that would change what merges.
void RefuseOptions(const HfJson& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto affix = model.Find(key);
    if (affix && !affix->String().empty()) affix->Fail("not supported", Quoted(affix->String()));
  }
  const auto dropout = model.Find("dropout");
  if (dropout && !(dropout->json().is_number() && dropout->json().get<double>() == 0)) {
    dropout->Fail("not supported", Quoted(dropout->json().dump()), "null or 0");
  }
}

}  // namespace

std::unique_ptr<const TokenTable> ReadHfTokens(const HfJson& document, const HfStages& stages,
                                               size_t min_size) {
  const HfJson vocab = document.Get("model").Get("vocab");
  if (!vocab.json().is_object()) {
    vocab.Fail("has the wrong type", vocab.json().type_name(), "an object of tokens and ids");
  }
  const auto added = document.Find("added_tokens");
  IdTable table(vocab.json().size() + (added ? added->json().size() : 0));
  ReadVocabulary(vocab, stages, table);
  ReadAdded(document, stages, table);
  if (table.tokens().empty()) vocab.Fail("not a vocabulary", "0 tokens");
  table.Resize(min_size);
  return std::make_unique<TokenTable>(
      table.tokens(), table.types(),
      stages.is_byte_level ? Spelling::kByteAlphabet : Spelling::kPlain);
}

AddedTokens ReadHfAddedTokens(const HfJson& document, const Normalizer& normalizer) {
  AddedTokens added;
  const auto list = document.Find("added_tokens");
  if (!list) return added;
  // A search tree costs many times what the text does.
  constexpr size_t kMaxBytes = 4 << 20;
  size_t total = 0;
  for (const HfJson& item : list->Items()) {
    std::string content = item.Get("content").String();
    total += content.size();
    if (total > kMaxBytes) list->Fail("too long", {}, "up to 4 MiB of text in all");
    const bool is_special = item.BoolOr("special", false);
    const bool is_normalized = item.BoolOr("normalized", !is_special);
    if (is_normalized) content = normalizer.Apply(content, true);
    added.Add(
        {.content = content,
         .id = static_cast<TokenId>(item.Get("id").Int(0, std::numeric_limits<TokenId>::max())),
         .special = is_special,
         .normalized = is_normalized,
         .single_word = item.BoolOr("single_word", false),
         .lstrip = item.BoolOr("lstrip", false),
         .rstrip = item.BoolOr("rstrip", false)});
  }
  return added;
}

std::unique_ptr<const SubwordModel> ReadHfModel(const HfJson& model, const TokenTable& tokens,
                                                bool is_byte_level) {
  RefuseOptions(model);
  BpeMerges merges(MergeReader(model.Get("merges"), tokens, is_byte_level).Read());
  if (is_byte_level) return MakeByteBpe(tokens, std::move(merges));
  UnknownCharacters unknown{.to_bytes = model.BoolOr("byte_fallback", false),
                            .fuse = model.BoolOr("fuse_unk", false)};
  if (const auto token = model.Find("unk_token")) {
    unknown.token = tokens.Find(token->String());
    if (unknown.token < 0) token->Fail("not a token", Quoted(token->String()));
  }
  return MakeCharacterBpe(tokens, std::move(merges), unknown);
}

}  // namespace spark
