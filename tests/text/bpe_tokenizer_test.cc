#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <random>
#include <string>

#include "spark/error.h"
#include "tests/support/random_text.h"
#include "tests/support/tokenizer_fixture.h"

namespace spark {
namespace bpe_tokenizer_test {

using Special = Tokenizer::Special;

struct FixtureCase {
  std::string folder;
  std::string pre;
};

FixtureCase AnyFixture() {
  return GENERATE(FixtureCase{"gpt2", "gpt-2"}, FixtureCase{"llama3", "llama-bpe"},
                  FixtureCase{"qwen2", "qwen2"}, FixtureCase{"smollm", "smollm"});
}

std::string RoundTrip(const Tokenizer& tokenizer, std::string_view text, Special special) {
  return tokenizer.Decode(tokenizer.Encode(text, special));
}

TEST_CASE("tokens are those of Hugging Face's tokenizers", "[tokenizer]") {
  const FixtureCase fixture = AnyFixture();
  const auto tokenizer = MakeBpeTokenizer(test::LoadVocabulary(fixture.folder, fixture.pre).View());
  const auto expected = test::LoadExpected(fixture.folder);
  REQUIRE(expected.size() > 10);
  for (const test::TokenizedText& entry : expected) {
    CAPTURE(fixture.folder, entry.text);
    CHECK(tokenizer->Encode(entry.text, Special::kParse) == entry.ids);
    CHECK(tokenizer->Decode(entry.ids) == entry.decoded);
  }
}

TEST_CASE("random lines of Unicode round-trip", "[tokenizer]") {
  const FixtureCase fixture = AnyFixture();
  const auto tokenizer = MakeBpeTokenizer(test::LoadVocabulary(fixture.folder, fixture.pre).View());
  std::mt19937 random(1);
  for (int line = 0; line < 25'000; ++line) {  // 100,000 over the four families
    const std::string text = test::RandomUnicodeLine(random);
    if (RoundTrip(*tokenizer, text, Special::kParse) != text) {
      FAIL(fixture.folder << ": line " << line << " came back different: " << text);
    }
  }
}

TEST_CASE("any bytes round-trip", "[tokenizer]") {
  const FixtureCase fixture = AnyFixture();
  const auto tokenizer = MakeBpeTokenizer(test::LoadVocabulary(fixture.folder, fixture.pre).View());
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  CHECK(RoundTrip(*tokenizer, all, Special::kPlain) == all);
  CHECK(RoundTrip(*tokenizer, std::string_view("a\0b\0", 4), Special::kParse) ==
        std::string_view("a\0b\0", 4));
  for (const char* text : {"cut \xE2\x82", "\x80\x80 tail", "\xED\xA0\x80 surrogate", "\xC0\xAF",
                           "\xF4\x90\x80\x80 beyond", "\xF0\x9F\x98 x \xF0\x9F\x98\x80"}) {
    CHECK(RoundTrip(*tokenizer, text, Special::kPlain) == text);
  }
  std::mt19937 random(2);
  for (int line = 0; line < 5'000; ++line) {
    const std::string text = test::RandomBytes(random, 60);
    REQUIRE(RoundTrip(*tokenizer, text, Special::kParse) == text);
  }
}

TEST_CASE("control tokens are found only where they are asked for", "[tokenizer]") {
  const auto tokenizer = test::MakeSmolTokenizer();
  const std::string text = "<|im_start|>hi<|im_end|><|im_";
  const auto parsed = tokenizer->Encode(text, Special::kParse);
  CHECK(parsed.front() == 1);
  CHECK(std::ranges::count(parsed, 2) == 1);
  const auto plain = tokenizer->Encode(text, Special::kPlain);
  CHECK(std::ranges::none_of(plain, [&](TokenId id) { return tokenizer->IsControl(id); }));
  CHECK(tokenizer->Decode(parsed) == text);
  CHECK(tokenizer->Decode(plain) == text);
}

TEST_CASE("the longest special token wins; user-defined ones are text", "[tokenizer]") {
  auto vocabulary = test::LoadVocabulary("gpt2", "gpt-2");
  const auto first = static_cast<TokenId>(vocabulary.tokens.size());
  for (const char* token : {"<a", "<a b>", "<|x|>", "<|x|>yy"}) vocabulary.tokens.push_back(token);
  for (const int type : {4, 4, 3, 3}) vocabulary.token_types.push_back(type);
  const auto tokenizer = MakeBpeTokenizer(vocabulary.View());
  const std::string text = "<a b><a<|x|>yyy";
  const auto y = tokenizer->Encode("y", Special::kPlain);
  REQUIRE(y.size() == 1);
  CHECK(tokenizer->Encode(text, Special::kParse) ==
        std::vector<TokenId>{first + 1, first, first + 3, y[0]});
  const auto plain = tokenizer->Encode(text, Special::kPlain);
  REQUIRE(plain.size() > 2);
  CHECK(plain[0] == first + 1);
  CHECK(plain[1] == first);
  CHECK(std::ranges::max(plain) == first + 1);
  CHECK(tokenizer->Decode(plain) == text);
  CHECK_FALSE(tokenizer->IsControl(first));
  CHECK(tokenizer->IsControl(first + 2));
}

TEST_CASE("bytes that the vocabulary lacks are dropped", "[tokenizer]") {
  BpeVocabulary vocabulary;
  vocabulary.tokens = {"a", "b", "ab"};
  vocabulary.merges = {"a b"};
  vocabulary.pre = "gpt-2";
  const auto tokenizer = MakeBpeTokenizer(vocabulary);
  CHECK(tokenizer->Encode("a\xFF", Special::kPlain) == std::vector<TokenId>{0});
  CHECK(tokenizer->Encode("abab", Special::kPlain) == std::vector<TokenId>{2, 2});
}

TEST_CASE("merges go by rank, then from the left", "[tokenizer]") {
  BpeVocabulary vocabulary;
  vocabulary.tokens = {"a", "b", "c", "bc", "ab", "aa", "abc"};
  vocabulary.merges = {"b c", "a b", "a a", "ab c"};
  vocabulary.pre = "gpt-2";
  const auto tokenizer = MakeBpeTokenizer(vocabulary);
  CHECK(tokenizer->Encode("abc", Special::kPlain) == std::vector<TokenId>{0, 3});
  CHECK(tokenizer->Encode("aaa", Special::kPlain) == std::vector<TokenId>{5, 0});
  CHECK(tokenizer->Encode("aab", Special::kPlain) == std::vector<TokenId>{0, 4});
  // "abc" is a token that no merge reaches; Llama 3 takes whole pieces first.
  vocabulary.pre = "llama-bpe";
  CHECK(MakeBpeTokenizer(vocabulary)->Encode("abc", Special::kPlain) == std::vector<TokenId>{6});
}

TEST_CASE("what ends text", "[tokenizer]") {
  const auto vocabulary = test::LoadVocabulary("smollm", "smollm");
  BpeVocabulary view = vocabulary.View();
  view.eos = 7;
  view.eot = 8;
  view.bos = 1;
  view.add_bos = true;
  const auto tokenizer = MakeBpeTokenizer(view);
  CHECK(tokenizer->IsEndOfText(7));
  CHECK(tokenizer->IsEndOfText(8));
  CHECK(tokenizer->IsEndOfText(0));        // <|endoftext|>
  CHECK_FALSE(tokenizer->IsEndOfText(1));  // <|im_start|>
  CHECK(tokenizer->IsEndOfText(2));        // <|im_end|>
  CHECK_FALSE(tokenizer->IsEndOfText(-1));
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->add_bos());
  CHECK(tokenizer->vocab_size() == vocabulary.tokens.size());
  CHECK_THROWS_AS(tokenizer->TokenBytes(-1), Error);
  CHECK_THROWS_AS(tokenizer->TokenBytes(static_cast<TokenId>(tokenizer->vocab_size())), Error);
}

// Seconds, the best of three.
double TimeToEncode(const Tokenizer& tokenizer, const std::string& text) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto ids = tokenizer.Encode(text, Special::kPlain);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::min(best, seconds.count());
    REQUIRE(tokenizer.Decode(ids) == text);
  }
  return best;
}

TEST_CASE("time grows with the length of a run, not with its square", "[tokenizer]") {
  const FixtureCase fixture = AnyFixture();
  const auto tokenizer = MakeBpeTokenizer(test::LoadVocabulary(fixture.folder, fixture.pre).View());
  for (const std::string unit :
       {"a", "A", " ", "\n", " \t", "é", "1", "!", "字", "\xFF", "'", "\u0300", "ab "}) {
    const auto repeat = [&unit](size_t n) {
      std::string text;
      while (text.size() < n * unit.size()) text += unit;
      return text;
    };
    CAPTURE(fixture.folder, unit);
    const double small = TimeToEncode(*tokenizer, repeat(25'000));
    const double large = TimeToEncode(*tokenizer, repeat(100'000));
    // Four times the text: 4 to 5 if n log n, 16 if quadratic, and then seconds.
    CHECK((large < 10 * small || large < 0.3));
  }
}

// The message that a vocabulary is refused with.
std::string Refusal(const BpeVocabulary& vocabulary) {
  try {
    MakeBpeTokenizer(vocabulary);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("a vocabulary that contradicts itself is refused", "[tokenizer]") {
  BpeVocabulary vocabulary;
  vocabulary.tokens = {"a", "b", "ab", "a"};  // a string may come twice
  vocabulary.merges = {"a b"};
  vocabulary.pre = "gpt-2";
  REQUIRE(Refusal(vocabulary) == "accepted");
  const auto with = [&vocabulary](auto change) {
    BpeVocabulary bad = vocabulary;
    change(bad);
    return Refusal(bad);
  };
  CHECK(with([](auto& v) { v.tokens.clear(); }) ==
        "tokenizer.ggml.tokens: not a vocabulary: found 0 tokens");
  CHECK(with([](auto& v) {
          v.token_types = {1, 1};
        }) == "tokenizer.ggml.token_type: not one type a token: found 2 types, allowed 4");
  CHECK(with([](auto& v) {
          v.token_types = {1, 1, 1, 9};
        }) ==
        "tokenizer.ggml.token_type[3]: not a token type: found 9, allowed 1 (normal) to 6 (byte)");
  for (const char* token : {"a b", "字", "\xFF", "\xC4", "\u0144"}) {
    CHECK(with([token](auto& v) {
            v.tokens[1] = token;
          }).starts_with("tokenizer.ggml.tokens[1]: a normal token has a character outside"));
  }
  for (const char* merge : {"ab", "a c", "b a", "a ", " b", "", " ", "a b c", "a 字"}) {
    CHECK(with([merge](auto& v) {
            v.merges.push_back(merge);
          }).starts_with("tokenizer.ggml.merges[1]: "));
  }
  CHECK(with([](auto& v) { v.eos = 4; }) ==
        "tokenizer.ggml.eos_token_id: not a token: found 4, allowed below 4");
  CHECK(with([](auto& v) { v.bos = -2; }).starts_with("tokenizer.ggml.bos_token_id: "));
  CHECK(with([](auto& v) { v.eot = 1 << 30; }).starts_with("tokenizer.ggml.eot_token_id: "));
  CHECK(with([](auto& v) { v.pre = "no-such"; })
            .starts_with("tokenizer.ggml.pre: unknown pre-tokenizer: found \"no-such\", "
                         "allowed gpt-2, phi-2, "));
  CHECK(with([](auto& v) {
          v.pre = "";
        }).starts_with("tokenizer.ggml.pre: unknown pre-tokenizer: found none, "));
}

}  // namespace bpe_tokenizer_test
}  // namespace spark
