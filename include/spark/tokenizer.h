// Text to tokens and back.
#ifndef SPARK_TOKENIZER_H_
#define SPARK_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

using TokenId = int32_t;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Whether text that spells a control token ("<|im_start|>") becomes that token, or plain text.
  // Tokens that a vocabulary adds for text ("user-defined": "<think>", runs of spaces) are found in
  // both cases, because models were trained so.
  enum class Special : uint8_t { kParse, kPlain };

  // Never fails: any bytes, invalid UTF-8 included, encode and decode to themselves, with these
  // exceptions, as elsewhere. Some vocabularies have no token for bytes that hardly occur, such as
  // SmolLM2 for 0x04 and 0xFF; these are dropped, or become an "unknown" token. Some tokenizers
  // change text first (Qwen's tokenizer.json composes characters, NFC; SentencePiece takes U+2581,
  // ▁, for a space), or put a space behind each special token (Llama 2). Adds no
  // beginning-of-sequence token; see bos(). Time is near-linear in the length of `text`. Safe to
  // call from many threads.
  virtual std::vector<TokenId> Encode(std::string_view text, Special special) const = 0;

  // The bytes of one token; they may end inside a UTF-8 character (see StreamDecoder).
  // Throws Error for an id outside [0, vocab_size()).
  virtual std::string_view TokenBytes(TokenId id) const = 0;

  virtual size_t vocab_size() const = 0;
  virtual bool IsControl(TokenId id) const = 0;    // special tokens that are not text
  virtual bool IsEndOfText(TokenId id) const = 0;  // eos, eot, <|im_end|>, …: generation stops
  virtual TokenId bos() const = 0;                 // -1: the model has none
  virtual bool add_bos() const = 0;                // the file asks for bos in front of a prompt
  virtual TokenId eos() const { return -1; }       // ends a text; -1: the model has none
  // The file asks for eos behind a text. A prompt, which is to be continued, does not get it.
  virtual bool add_eos() const { return false; }
  // Encode puts a space before the first word (Llama 2: add_space_prefix).
  virtual bool drops_first_space() const { return false; }

  // The text of a whole sequence: the bytes of its tokens, less that first space if they begin with
  // it. So a text that continues another is not for Decode, but for TokenBytes or StreamDecoder.
  std::string Decode(std::span<const TokenId> ids) const;
};

// Decodes a stream of tokens, holding back a UTF-8 character until it is whole. Bytes that can't
// become a character pass through unchanged, so the sum of all output is exactly the tokens' bytes.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string Push(TokenId id);  // what can be shown now
  std::string Flush();           // what was held back, whole or not

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace spark

#endif  // SPARK_TOKENIZER_H_
