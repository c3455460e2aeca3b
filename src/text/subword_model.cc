#include "text/subword_model.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "text/merge_queue.h"
#include "text/utf8.h"

namespace spark {
namespace {

// Symbols of byte-level BPE.
class ByteStart {
 public:
  explicit ByteStart(const TokenTable& tokens) {
    for (size_t byte = 0; byte < ids_.size(); ++byte) {
      const char c = static_cast<char>(byte);
      ids_[byte] = tokens.Find({&c, 1});
    }
  }

  template <typename Queue>
  void Fill(std::string_view text, Queue& queue) const {
    for (size_t i = 0; i < text.size(); ++i) {
      const TokenId id = ids_[static_cast<uint8_t>(text[i])];
      if (id >= 0) queue.Add(id, i);
    }
  }

 private:
  std::array<TokenId, 256> ids_;
};

// Whether merges may lead to such a token, and a character be one.
bool IsText(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUserDefined ||
         type == TokenType::kUnused;
}

// Symbols of the models over characters.
class CharacterStart {
 public:
  CharacterStart(const TokenTable& tokens, UnknownCharacters unknown)
      : tokens_(&tokens), unknown_(unknown) {
    for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
      byte_ids_[byte] = unknown.to_bytes ? tokens.Find(fmt::format("<0x{:02X}>", byte)) : -1;
      const char c = static_cast<char>(byte);
      ascii_ids_[byte] = byte < 0x80 ? FindText({&c, 1}) : -1;
    }
  }

  template <typename Queue>
  void Fill(std::string_view text, Queue& queue) const {
    bool after_unknown = false;
    for (size_t i = 0; i < text.size();) {
      const std::string_view character = text.substr(i, NextUtf8(text.substr(i)).size);
      const TokenId id = character.size() == 1 ? ascii_ids_[static_cast<uint8_t>(character[0])]
                                               : FindText(character);
      const bool is_unknown = id < 0 && !AddBytes(character, i, queue);
      if (id >= 0) queue.Add(id, i);
      if (is_unknown && unknown_.token >= 0 && !(after_unknown && unknown_.fuse)) {
        queue.Add(unknown_.token, i);
      }
      after_unknown = is_unknown;
      i += character.size();
    }
  }

 private:
  TokenId FindText(std::string_view character) const {
    const TokenId id = tokens_->Find(character);
    return id >= 0 && IsText(tokens_->Type(id)) ? id : -1;
  }

  // False, with nothing added, unless every byte has a token.
  template <typename Queue>
  bool AddBytes(std::string_view character, size_t begin, Queue& queue) const {
    for (const char c : character) {
      if (byte_ids_[static_cast<uint8_t>(c)] < 0) return false;
    }
    for (const char c : character) queue.Add(byte_ids_[static_cast<uint8_t>(c)], begin++);
    return true;
  }

  const TokenTable* tokens_;
  UnknownCharacters unknown_;
  std::array<TokenId, 256> byte_ids_;
  std::array<TokenId, 256> ascii_ids_;
};

class ListedMerges {
 public:
  explicit ListedMerges(BpeMerges merges) : merges_(std::move(merges)) {}
  Merge operator()(TokenId left, TokenId right, std::string_view) const {
    return merges_.Find(left, right);
  }

 private:
  BpeMerges merges_;
};

class ScoredMerges {
 public:
  ScoredMerges(const TokenTable& tokens, std::vector<float> scores)
      : tokens_(&tokens), scores_(std::move(scores)) {}
  Merge operator()(TokenId, TokenId, std::string_view joined) const {
    if (joined.size() > tokens_->max_token_size()) return {0, -1};
    const TokenId id = tokens_->Find(joined);
    if (id < 0 || !IsText(tokens_->Type(id))) return {0, -1};
    return {Rank(scores_[static_cast<size_t>(id)]), id};
  }

 private:
  // Orders as the scores do, highest first: the bits of a float are sign and magnitude. Adding 0
  // makes -0 and 0 the same.
  static uint32_t Rank(float score) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0F);
    return bits >> 31 != 0 ? bits : 0x7FFFFFFF - bits;
  }

  const TokenTable* tokens_;
  std::vector<float> scores_;
};

template <typename Start, typename Rule>
class Model final : public SubwordModel {
 public:
  Model(Start start, Rule rule) : start_(std::move(start)), rule_(std::move(rule)) {}

  std::unique_ptr<PieceEncoder> NewEncoder() const override {
    return std::make_unique<Encoder>(start_, rule_);
  }

 private:
  struct RuleReference {
    const Rule* rule;
    Merge operator()(TokenId left, TokenId right, std::string_view joined) const {
      return (*rule)(left, right, joined);
    }
  };

  class Encoder final : public PieceEncoder {
   public:
    Encoder(const Start& start, const Rule& rule) : start_(start), queue_({&rule}) {}

    void Append(std::string_view piece, std::vector<TokenId>& ids) override {
      while (!piece.empty()) {
        const std::string_view part = piece.substr(0, Queue::kMaxText);
        piece.remove_prefix(part.size());
        queue_.Clear();
        start_.Fill(part, queue_);
        queue_.Run(part, ids);
      }
    }

   private:
    using Queue = MergeQueue<RuleReference>;
    const Start& start_;
    Queue queue_;
  };

  Start start_;
  Rule rule_;
};

}  // namespace

std::unique_ptr<SubwordModel> MakeByteBpe(const TokenTable& tokens, BpeMerges merges) {
  return std::make_unique<Model<ByteStart, ListedMerges>>(ByteStart(tokens),
                                                          ListedMerges(std::move(merges)));
}

std::unique_ptr<SubwordModel> MakeCharacterBpe(const TokenTable& tokens, BpeMerges merges,
                                               UnknownCharacters unknown) {
  return std::make_unique<Model<CharacterStart, ListedMerges>>(CharacterStart(tokens, unknown),
                                                               ListedMerges(std::move(merges)));
}

std::unique_ptr<SubwordModel> MakeScoredBpe(const TokenTable& tokens, std::vector<float> scores,
                                            UnknownCharacters unknown) {
  return std::make_unique<Model<CharacterStart, ScoredMerges>>(
      CharacterStart(tokens, unknown), ScoredMerges(tokens, std::move(scores)));
}

int ByteOfToken(std::string_view written) {
  if (written.size() != 6 || !written.starts_with("<0x") || written[5] != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const int high = digit(written[3]);
  const int low = digit(written[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace spark
