#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

#include "spark/tokenizer.h"
#include "tests/support/random_text.h"
#include "tests/support/tokenizer_fixture.h"
#include "text/utf8.h"

namespace spark {
namespace stream_decoder_test {

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    text.remove_prefix(step.size);
  }
  return true;
}

// A token a byte, so that every character is cut everywhere.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (int byte = 0; byte < 256; ++byte) bytes_ += static_cast<char>(byte);
  }
  std::vector<TokenId> Encode(std::string_view text, Special) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
    return ids;
  }
  std::string_view TokenBytes(TokenId id) const override {
    return std::string_view(bytes_).substr(static_cast<size_t>(id), 1);
  }
  size_t vocab_size() const override { return 256; }
  bool IsControl(TokenId) const override { return false; }
  bool IsEndOfText(TokenId) const override { return false; }
  TokenId bos() const override { return -1; }
  bool add_bos() const override { return false; }

 private:
  std::string bytes_;
};

void CheckStream(const Tokenizer& tokenizer, const std::string& text) {
  StreamDecoder decoder(tokenizer);
  const bool whole_is_valid = IsUtf8(text);
  std::string shown;
  for (const TokenId id : tokenizer.Encode(text, Tokenizer::Special::kParse)) {
    const std::string chunk = decoder.Push(id);
    if (whole_is_valid) REQUIRE(IsUtf8(chunk));
    shown += chunk;
  }
  const std::string rest = decoder.Flush();
  if (whole_is_valid) REQUIRE(rest.empty());
  REQUIRE(rest.size() < 4);
  REQUIRE(shown + rest == text);
  REQUIRE(decoder.Flush().empty());
}

TEST_CASE("a stream shows whole characters and loses no byte", "[stream]") {
  const ByteTokenizer bytes;
  const auto bpe = test::MakeSmolTokenizer();
  std::mt19937 random(3);
  for (int i = 0; i < 3'000; ++i) {
    CheckStream(bytes, test::RandomUnicodeLine(random));
    CheckStream(*bpe, test::RandomUnicodeLine(random));
    CheckStream(bytes, test::RandomBytes(random, 24));
    CheckStream(*bpe, test::RandomBytes(random, 24));
  }
}

TEST_CASE("a character is shown with its last byte, a hopeless byte at once", "[stream]") {
  const ByteTokenizer tokenizer;
  StreamDecoder decoder(tokenizer);
  CHECK(decoder.Push(0xE2).empty());
  CHECK(decoder.Push(0x82).empty());
  CHECK(decoder.Push(0xAC) == "€");
  CHECK(decoder.Push(0xE2).empty());
  CHECK(decoder.Push('x') == "\xE2x");
  CHECK(decoder.Push(0xFF) == "\xFF");
  CHECK(decoder.Push(0xED).empty());
  CHECK(decoder.Push(0xA0) == "\xED\xA0");  // would be a surrogate
  CHECK(decoder.Push(0xF0).empty());
  CHECK(decoder.Flush() == "\xF0");
}

TEST_CASE("every code point is one character, its prefixes are incomplete", "[utf8]") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string text;
    test::AppendUtf8(c, text);
    const Utf8Step step = NextUtf8(text);
    if (c >= 0xD800 && c <= 0xDFFF) {
      if (step.kind != Utf8Step::Kind::kInvalid) FAIL("surrogate " << uint32_t{c});
      continue;
    }
    bool good = step.kind == Utf8Step::Kind::kCharacter && step.size == text.size();
    for (size_t size = 1; size < text.size(); ++size) {
      const Utf8Step part = NextUtf8(std::string_view(text).substr(0, size));
      good = good && part.kind == Utf8Step::Kind::kIncomplete && part.size == size;
    }
    if (!good) FAIL("code point " << uint32_t{c});
  }
}

}  // namespace stream_decoder_test
}  // namespace spark
