#include "text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "spark/error.h"
#include "text/bpe_merges.h"
#include "text/pretokenizer.h"
#include "text/token_table.h"
#include "text/token_trie.h"

namespace spark {
namespace {

// Files often name only one of the tokens that end an answer, so the usual names count as well.
constexpr std::array<std::string_view, 12> kEndOfTextNames = {
    "<|im_end|>",      "<|eot_id|>",    "<|eom_id|>", "<|endoftext|>",
    "<|end_of_text|>", "<|end|>",       "</s>",       "<|return|>",
    "<|end_of_turn|>", "<end_of_turn>", "<|eot|>",    "<｜end▁of▁sentence｜>",
};

[[noreturn]] void FailId(TokenId id, const char* field, size_t vocab_size) {
  throw Error("not a token", {.field = field,
                              .found = fmt::format("{}", id),
                              .allowed = fmt::format("below {}", vocab_size)});
}

// -1 stands for none.
void CheckId(TokenId id, const char* field, size_t vocab_size) {
  if (id < -1 || id >= static_cast<int64_t>(vocab_size)) FailId(id, field, vocab_size);
}

// Special tokens in the sense of Special::kParse.
bool IsSpecial(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(const BpeVocabulary& vocabulary)
      : tokens_(vocabulary.tokens, vocabulary.token_types),
        merges_(vocabulary.merges, tokens_),
        pre_tokenizer_(vocabulary.pre),
        bos_(vocabulary.bos),
        add_bos_(vocabulary.add_bos) {
    CheckId(vocabulary.bos, "tokenizer.ggml.bos_token_id", tokens_.size());
    CheckId(vocabulary.eos, "tokenizer.ggml.eos_token_id", tokens_.size());
    CheckId(vocabulary.eot, "tokenizer.ggml.eot_token_id", tokens_.size());
    for (TokenId id = 0; id < static_cast<int64_t>(tokens_.size()); ++id) AddToTries(id);
    for (const TokenId id : {vocabulary.eos, vocabulary.eot}) {
      if (id >= 0) end_of_text_.push_back(id);
    }
  }

  std::vector<TokenId> Encode(std::string_view text, Special special) const override;

  std::string_view TokenBytes(TokenId id) const override {
    if (!IsToken(id)) FailId(id, "token", tokens_.size());
    return tokens_.Bytes(id);
  }
  size_t vocab_size() const override { return tokens_.size(); }
  bool IsControl(TokenId id) const override {
    return IsToken(id) && tokens_.Type(id) == TokenType::kControl;
  }
  bool IsEndOfText(TokenId id) const override {
    return std::ranges::find(end_of_text_, id) != end_of_text_.end();
  }
  TokenId bos() const override { return bos_; }
  bool add_bos() const override { return add_bos_; }

 private:
  bool IsToken(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < tokens_.size(); }
  void AddToTries(TokenId id);

  TokenTable tokens_;
  BpeMerges merges_;
  PreTokenizer pre_tokenizer_;
  TokenTrie text_tokens_;     // user-defined: found in any text
  TokenTrie special_tokens_;  // these and control tokens
  std::vector<TokenId> end_of_text_;
  TokenId bos_;
  bool add_bos_;
};

void BpeTokenizer::AddToTries(TokenId id) {
  const TokenType type = tokens_.Type(id);
  const bool is_text = type == TokenType::kUserDefined;
  if (!is_text && !IsSpecial(type)) return;
  if (is_text) text_tokens_.Add(tokens_.Bytes(id), id);
  special_tokens_.Add(tokens_.Bytes(id), id);
  if (std::ranges::find(kEndOfTextNames, tokens_.Bytes(id)) != kEndOfTextNames.end()) {
    end_of_text_.push_back(id);
  }
}

// Encodes the text between special tokens. Prompts repeat their words, so a piece seen before is
// copied from where its tokens stand.
class TextEncoder {
 public:
  TextEncoder(const TokenTable& tokens, const BpeMerges& merges, const PreTokenizer& pre_tokenizer,
              std::vector<TokenId>& ids)
      : tokens_(tokens), pre_tokenizer_(pre_tokenizer), bpe_(tokens, merges), ids_(ids) {}

  void Append(std::string_view text) {
    pieces_.clear();
    pre_tokenizer_.Split(text, pieces_);
    for (const std::string_view piece : pieces_) AppendPiece(piece);
  }

 private:
  struct Range {
    size_t begin;
    size_t end;
  };

  void AppendPiece(std::string_view piece) {
    if (const auto seen = seen_.find(piece); seen != seen_.end()) {
      for (size_t i = seen->second.begin; i < seen->second.end; ++i) ids_.push_back(ids_[i]);
      return;
    }
    const size_t begin = ids_.size();
    const TokenId whole = pre_tokenizer_.whole_pieces_first() ? tokens_.Find(piece) : -1;
    if (whole >= 0 && tokens_.Type(whole) == TokenType::kNormal) {
      ids_.push_back(whole);
    } else {
      bpe_.Append(piece, ids_);
    }
    if (piece.size() <= kMaxRemembered) seen_.emplace(piece, Range{begin, ids_.size()});
  }

  static constexpr size_t kMaxRemembered = 64;  // longer pieces seldom return

  const TokenTable& tokens_;
  const PreTokenizer& pre_tokenizer_;
  BpeEncoder bpe_;
  std::vector<TokenId>& ids_;
  std::vector<std::string_view> pieces_;
  std::unordered_map<std::string_view, Range> seen_;
};

std::vector<TokenId> BpeTokenizer::Encode(std::string_view text, Special special) const {
  std::vector<TokenId> ids;
  TextEncoder encoder(tokens_, merges_, pre_tokenizer_, ids);
  const TokenTrie& trie = special == Special::kParse ? special_tokens_ : text_tokens_;
  for (size_t begin = 0; begin < text.size();) {
    const TokenTrie::Match match = trie.FindFirst(text, begin);
    encoder.Append(text.substr(begin, match.begin - begin));
    if (match.id >= 0) ids.push_back(match.id);
    begin = match.begin + match.size;
  }
  return ids;
}

}  // namespace

std::unique_ptr<Tokenizer> MakeBpeTokenizer(const BpeVocabulary& vocabulary) {
  return std::make_unique<BpeTokenizer>(vocabulary);
}

}  // namespace spark
