#include "text/pretokenizer.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/random_text.h"
#include "text/byte_alphabet.h"

namespace spark {
namespace pretokenizer_test {

using Pieces = std::vector<std::string_view>;

Pieces Split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  Pieces pieces;
  pre_tokenizer.Split(text, pieces);
  return pieces;
}

Pieces Split(std::string_view name, std::string_view text) {
  return Split(MakePreTokenizer(name).pre_tokenizer, text);
}

TEST_CASE("pieces of the families", "[pretokenizer]") {
  CHECK(Split("gpt-2", "I'll pay  $20.50\n\nNOW") ==
        Pieces{"I", "'ll", " pay", " ", " $", "20", ".", "50", "\n", "\n", "NOW"});
  CHECK(Split("smollm", "It's 2024 ") == Pieces{"It", "'s", " ", "2", "0", "2", "4", " "});
  CHECK(Split("llama-bpe", "I'LL pay $12345;\n\n x") ==
        Pieces{"I", "'LL", " pay", " $", "123", "45", ";\n\n", " x"});
  CHECK(Split("qwen2", "(a 12  b\r\n") == Pieces{"(a", " ", "1", "2", " ", " b", "\r\n"});
  CHECK(Split("gpt-4o", "camelCaseXML don't 1234 a/\n") ==
        Pieces{"camel", "Case", "XML", " don't", " ", "123", "4", " a", "/\n"});
  CHECK(Split("tekken", "isn't 12 XMLy") == Pieces{"isn", "'t", " ", "1", "2", " XMLy"});
  for (const std::string_view name : PreTokenizerNames()) CHECK(Split(name, "").empty());
}

TEST_CASE("pieces of more families are Hugging Face's", "[pretokenizer]") {
  std::ifstream file(std::string(SPARK_TEST_DATA) + "/tokenizers/pieces.json");
  const auto expected = nlohmann::json::parse(file);
  const auto texts = expected.at("texts").get<std::vector<std::string>>();
  REQUIRE(expected.at("pieces").size() > 10);
  for (const auto& [name, pieces] : expected.at("pieces").items()) {
    for (size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(name, texts[i]);
      const Pieces split = Split(name, texts[i]);
      CHECK(std::vector<std::string>(split.begin(), split.end()) ==
            pieces.at(i).get<std::vector<std::string>>());
    }
  }
}

TEST_CASE("white space is Unicode's", "[pretokenizer]") {
  // NEXT LINE is; U+180E was until Unicode 6.3 and still is to PCRE2's \s.
  CHECK(Split("gpt-2", "a\u0085\u0085b") == Pieces{"a", "\u0085", "\u0085", "b"});
  CHECK(Split("gpt-2", "a\u180E\u180Eb") == Pieces{"a", "\u180E\u180E", "b"});
  CHECK(Split("gpt-2", "a\u3000\u2028b") == Pieces{"a", "\u3000", "\u2028", "b"});
}

TEST_CASE("patterns do not see invalid bytes", "[pretokenizer]") {
  CHECK(Split("gpt-2", "ab\xFF\xFE cd") == Pieces{"ab", "\xFF\xFE", " cd"});
  CHECK(Split("gpt-2", "\xE2\x82") == Pieces{"\xE2\x82"});
  CHECK(Split("smollm", "1\x80\x31") == Pieces{"1", "\x80", "1"});
}

TEST_CASE("pieces make up the text", "[pretokenizer]") {
  std::mt19937 random(5);
  for (const std::string_view name : PreTokenizerNames()) {
    const PreTokenizer pre_tokenizer = MakePreTokenizer(name).pre_tokenizer;
    for (int i = 0; i < 1'000; ++i) {
      const std::string text =
          i % 2 == 0 ? test::RandomUnicodeLine(random) : test::RandomBytes(random, 40);
      std::string whole;
      for (const std::string_view piece : Split(pre_tokenizer, text)) {
        REQUIRE_FALSE(piece.empty());
        REQUIRE(piece.data() == text.data() + whole.size());
        whole += piece;
      }
      REQUIRE(whole == text);
    }
  }
}

TEST_CASE("runs of 200,000 characters are split in little time", "[pretokenizer]") {
  for (const char* name :
       {"gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken", "deepseek-llm",
        "deepseek-coder", "deepseek-v3", "falcon", "default", "bailingmoe", "bloom", "qwen35"}) {
    const PreTokenizer pre_tokenizer = MakePreTokenizer(name).pre_tokenizer;
    for (const std::string unit : {"a", "A", "aA", " ", "\n", " \n", "1", "!", "/", "字", "\u0300",
                                   "ǅ", "\xFF", "a\xFF", "'s", " x", "(", " \x01"}) {
      std::string text;
      for (int i = 0; i < 200'000; ++i) text += unit;
      CAPTURE(name, unit);
      const auto start = std::chrono::steady_clock::now();
      const Pieces pieces = Split(pre_tokenizer, text);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      CHECK(seconds.count() < 2);  // some 0.02 s; quadratic time would be 20 s and more
      // No pattern ran into its limits: a run that is cut at all is cut everywhere alike.
      if (unit == "aA" && name == std::string_view("gpt-4o")) CHECK(pieces.size() > 100'000);
      if (unit == "1" && name == std::string_view("smollm")) CHECK(pieces.size() == 200'000);
    }
  }
}

TEST_CASE("an unknown name is refused with the names", "[pretokenizer]") {
  test::ExpectError([] { MakePreTokenizer("nonesuch"); }, {"\"nonesuch\"", "gpt-2", "llama-bpe"});
  test::ExpectError([] { MakePreTokenizer(""); }, {"found none"});
  for (const std::string_view name : PreTokenizerNames()) CHECK_NOTHROW(MakePreTokenizer(name));
}

TEST_CASE("the byte alphabet spells each byte once", "[pretokenizer]") {
  std::string seen;
  for (char32_t c = 0; c < 0x1000; ++c) {
    std::string written;
    test::AppendUtf8(c, written);
    AppendBytesOf(written, seen);
  }
  REQUIRE(seen.size() == 256);
  std::ranges::sort(seen);
  CHECK(std::ranges::adjacent_find(seen) == seen.end());
  std::string bytes = "kept";
  CHECK(AppendBytesOf("Ġthe\u010A~\u0143", bytes));
  CHECK(bytes == "kept the\n~\xAD");
  for (const char* bad : {" ", "a b", "\n", "\u00AD", "\u0144", "字", "\xC4", "\xFF", "\x80"}) {
    CHECK_FALSE(AppendBytesOf(bad, bytes));
  }
  CHECK(bytes == "kept the\n~\xAD");
}

}  // namespace pretokenizer_test
}  // namespace spark
