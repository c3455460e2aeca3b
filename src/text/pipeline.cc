#include "text/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

#include "spark/error.h"

namespace spark {
namespace {

constexpr std::array<std::string_view, 12> kEndOfTextNames = {
    "<|im_end|>",      "<|eot_id|>",    "<|eom_id|>", "<|endoftext|>",
    "<|end_of_text|>", "<|end|>",       "</s>",       "<|return|>",
    "<|end_of_turn|>", "<end_of_turn>", "<|eot|>",    "<｜end▁of▁sentence｜>",
};

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline) : parts_(std::move(pipeline)) {
    std::ranges::sort(parts_.end_of_text);
  }

  std::vector<TokenId> Encode(std::string_view text, Special special) const override;

  std::string_view TokenBytes(TokenId id) const override {
    if (!IsToken(id)) {
      throw Error("not a token", {.field = "token",
                                  .found = fmt::format("{}", id),
                                  .allowed = fmt::format("below {}", vocab_size())});
    }
    return parts_.decoded ? (*parts_.decoded)[static_cast<size_t>(id)] : parts_.tokens->Bytes(id);
  }
  size_t vocab_size() const override { return parts_.tokens->size(); }
  bool IsControl(TokenId id) const override {
    return IsToken(id) && parts_.tokens->Type(id) == TokenType::kControl;
  }
  bool IsEndOfText(TokenId id) const override {
    return std::ranges::binary_search(parts_.end_of_text, id);
  }
  TokenId bos() const override { return parts_.bos; }
  bool add_bos() const override { return parts_.add_bos; }
  TokenId eos() const override { return parts_.eos; }
  bool add_eos() const override { return parts_.add_eos; }
  bool drops_first_space() const override { return parts_.drops_first_space; }

 private:
  bool IsToken(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < vocab_size(); }

  Pipeline parts_;
};

// Encodes one text. Prompts repeat their words, so a piece seen before is copied from where its
// tokens stand.
class TextEncoder {
 public:
  using Stage = AddedTokens::Stage;

  TextEncoder(const Pipeline& parts, Tokenizer::Special special)
      : parts_(parts), special_(special), encoder_(parts.model->NewEncoder()) {}

  std::vector<TokenId> Encode(std::string_view text) {
    ForEachPart(text, Stage::kRaw,
                [&](std::string_view part) { AppendRaw(part, part.data() == text.data()); });
    return std::move(ids_);
  }

 private:
  struct Range {
    size_t begin;
    size_t end;
  };

  // Appends the added tokens, and calls append(part) for what is between them.
  template <typename Append>
  void ForEachPart(std::string_view text, Stage stage, Append append) {
    if (parts_.added.empty(stage)) {
      if (!text.empty()) append(text);
      return;
    }
    for (size_t begin = 0; begin < text.size();) {
      const TokenTrie::Match match = parts_.added.FindFirst(text, begin, stage, special_);
      if (match.begin > begin) append(text.substr(begin, match.begin - begin));
      if (match.id >= 0) ids_.push_back(match.id);
      begin = match.begin + match.size;
    }
  }

  void AppendRaw(std::string_view part, bool is_first) {
    if (!parts_.normalizer.empty()) {
      part = normalized_.emplace_back(parts_.normalizer.Apply(part, is_first));
    }
    ForEachPart(part, Stage::kNormalized, [&](std::string_view text) {
      AppendText(text, is_first && text.data() == part.data());
    });
  }

  void AppendText(std::string_view text, bool is_first) {
    if (!parts_.pre_normalizer.empty()) {
      text = normalized_.emplace_back(parts_.pre_normalizer.Apply(text, is_first));
    }
    pieces_.clear();
    parts_.pre_tokenizer.Split(text, pieces_);
    if (parts_.space_cuts) {
      cut_.clear();
      for (const std::string_view piece : pieces_) parts_.space_cuts->Split(piece, cut_);
      std::swap(pieces_, cut_);
    }
    for (const std::string_view piece : pieces_) AppendPiece(piece);
  }

  void AppendPiece(std::string_view piece) {
    if (const auto seen = seen_.find(piece); seen != seen_.end()) {
      for (size_t i = seen->second.begin; i < seen->second.end; ++i) ids_.push_back(ids_[i]);
      return;
    }
    const size_t begin = ids_.size();
    const TokenId whole = parts_.whole_pieces_first ? parts_.tokens->Find(piece) : -1;
    if (whole >= 0 && parts_.tokens->Type(whole) == TokenType::kNormal) {
      ids_.push_back(whole);
    } else {
      encoder_->Append(piece, ids_);
    }
    if (piece.size() <= kMaxRemembered) seen_.emplace(piece, Range{begin, ids_.size()});
  }

  static constexpr size_t kMaxRemembered = 64;  // bytes; longer pieces seldom return

  const Pipeline& parts_;
  Tokenizer::Special special_;
  std::unique_ptr<PieceEncoder> encoder_;
  std::vector<TokenId> ids_;
  std::deque<std::string> normalized_;  // what seen_ views; strings in a deque stay in place
  std::vector<std::string_view> pieces_;
  std::vector<std::string_view> cut_;
  std::unordered_map<std::string_view, Range> seen_;
};

std::vector<TokenId> PipelineTokenizer::Encode(std::string_view text, Special special) const {
  return TextEncoder(parts_, special).Encode(text);
}

}  // namespace

std::unique_ptr<Tokenizer> MakeTokenizer(Pipeline pipeline) {
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

bool IsEndOfTextName(std::string_view name) {
  return std::ranges::find(kEndOfTextNames, name) != kEndOfTextNames.end();
}

StringTable DecodeSentencePieces(const TokenTable& tokens) {
  StringTable decoded;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    std::string_view text = tokens.Bytes(id);
    const int byte = tokens.Type(id) == TokenType::kByte ? ByteOfToken(text) : -1;
    if (byte >= 0) {
      decoded.bytes() += static_cast<char>(byte);
    } else if (tokens.Type(id) != TokenType::kNormal) {
      decoded.bytes() += text;
    } else {
      for (size_t at; (at = text.find(kSpaceMark)) != text.npos;) {
        decoded.bytes().append(text.substr(0, at)) += ' ';
        text.remove_prefix(at + kSpaceMark.size());
      }
      decoded.bytes() += text;
    }
    decoded.EndString();
  }
  return decoded;
}

}  // namespace spark
