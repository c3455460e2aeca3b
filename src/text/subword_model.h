// How a piece of text becomes tokens: the byte-pair models.
#ifndef SPARK_TEXT_SUBWORD_MODEL_H_
#define SPARK_TEXT_SUBWORD_MODEL_H_

#include <memory>
#include <string_view>
#include <vector>

#include "spark/tokenizer.h"
#include "text/bpe_merges.h"
#include "text/token_table.h"

namespace spark {

// Holds scratch memory, so one thread at a time.
class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;

  // Appends the tokens of `piece`. O(n log n).
  virtual void Append(std::string_view piece, std::vector<TokenId>& ids) = 0;
};

// Safe to use from many threads, each with an encoder of its own.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  virtual std::unique_ptr<PieceEncoder> NewEncoder() const = 0;  // the model must outlive it
};

// What becomes of a character that is not a token.
struct UnknownCharacters {
  bool to_bytes = false;  // the tokens "<0x00>" to "<0xFF>" of its bytes, if all of them exist
  TokenId token = -1;     // else this one; -1: it is dropped
  bool fuse = false;      // one such token for a run of them
};

// In all three, `tokens` must outlive the model.

// Byte-level BPE (GPT-2): starts from bytes. A byte without a token is dropped.
std::unique_ptr<SubwordModel> MakeByteBpe(const TokenTable& tokens, BpeMerges merges);

// Starts from characters; pairs merge in the order of a list (tokenizer.json of Llama 2, Gemma).
std::unique_ptr<SubwordModel> MakeCharacterBpe(const TokenTable& tokens, BpeMerges merges,
                                               UnknownCharacters unknown);

// SentencePiece's BPE: starts from characters; a pair merges if its text is a token, that of the
// highest score first. `scores` has one finite number a token.
std::unique_ptr<SubwordModel> MakeScoredBpe(const TokenTable& tokens, std::vector<float> scores,
                                            UnknownCharacters unknown);

// The byte that a token such as "<0x0A>" stands for; -1 if it is written otherwise.
int ByteOfToken(std::string_view written);

}  // namespace spark

#endif  // SPARK_TEXT_SUBWORD_MODEL_H_
