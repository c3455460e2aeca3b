#include "text/spm_tokenizer.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "io/gguf.h"
#include "spark/error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/random_text.h"
#include "tests/support/real_model.h"
#include "text/gguf_tokenizer.h"

namespace spark {
namespace spm_tokenizer_test {

using Special = Tokenizer::Special;
using List = std::vector<TokenId>;

constexpr TokenId kBytes = 11;  // the token of byte 0 in TestVocabulary

// Owns what the vocabulary views.
struct Owned {
  std::vector<std::string> tokens;
  SpmVocabulary View() const {
    SpmVocabulary view = vocabulary;
    view.tokens.assign(tokens.begin(), tokens.end());
    return view;
  }
  SpmVocabulary vocabulary;
};

Owned TestVocabulary() {
  Owned owned;
  owned.tokens = {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "ba", "▁a", "aa", "\n\n"};
  owned.vocabulary.scores = {0, 0, 0, -9, -8, -8, -2, -1, -3, -4, 0};
  owned.vocabulary.token_types = {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 4};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* kHex = "0123456789ABCDEF";
    owned.tokens.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
    owned.vocabulary.scores.push_back(0);
    owned.vocabulary.token_types.push_back(6);
  }
  owned.vocabulary.bos = 1;
  owned.vocabulary.eos = 2;
  owned.vocabulary.unknown = 0;
  return owned;
}

TEST_CASE("scores say what merges first", "[tokenizer][spm]") {
  Owned owned = TestVocabulary();
  owned.vocabulary.add_space_prefix = false;
  const auto tokenizer = MakeSpmTokenizer(owned.View());
  const auto encode = [&](std::string_view text) {
    return tokenizer->Encode(text, Special::kParse);
  };
  CHECK(encode("aba") == List{4, 7});  // "ba" before "ab"
  CHECK(encode("aaa") == List{9, 4});  // the leftmost of equals
  CHECK(encode("aab") == List{4, 6});
  CHECK(encode(" a a") == List{8, 8});
  CHECK(encode("  a") == List{3, 8});
  CHECK(encode("a\n\n\nb") == List{4, 10, kBytes + 10, 5});
  CHECK(encode("é") == List{kBytes + 0xC3, kBytes + 0xA9});
  CHECK(encode("\xFF") == List{kBytes + 0xFF});
  CHECK(encode("<s>b") == List{1, 5});
  CHECK(tokenizer->Encode("<s>", Special::kPlain).size() == 3);
  CHECK(encode("").empty());
}

TEST_CASE("the space before a text", "[tokenizer][spm]") {
  const Owned owned = TestVocabulary();
  const auto tokenizer = MakeSpmTokenizer(owned.View());
  const auto encode = [&](std::string_view text) {
    return tokenizer->Encode(text, Special::kParse);
  };
  CHECK(encode("a") == List{8});
  CHECK(encode("a</s>a") == List{8, 2, 8});
  CHECK(encode("").empty());
  CHECK(tokenizer->Decode(List{8, 8}) == "a a");
  CHECK(tokenizer->Decode(List{4, 8}) == "a a");
  CHECK(tokenizer->Decode(List{1, 8}) == "<s> a");
  CHECK(tokenizer->TokenBytes(8) == " a");
  CHECK(tokenizer->TokenBytes(kBytes + 10) == "\n");
  CHECK(tokenizer->Decode(encode("  b a ")) == "  b a ");
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->add_bos());
  CHECK_FALSE(tokenizer->add_eos());
  CHECK(tokenizer->IsEndOfText(2));
  CHECK(tokenizer->IsControl(1));
}

TEST_CASE("any bytes round-trip through byte tokens", "[tokenizer][spm]") {
  Owned owned = TestVocabulary();
  owned.vocabulary.add_space_prefix = false;  // else there is one behind "\n\n", which is added
  const auto tokenizer = MakeSpmTokenizer(owned.View());
  std::mt19937 random(4);
  for (int line = 0; line < 10'000; ++line) {
    const std::string text =
        line % 2 == 0 ? test::RandomBytes(random, 40) : test::RandomUnicodeLine(random);
    if (text.find("\u2581") != text.npos) continue;  // stands for a space
    REQUIRE(tokenizer->Decode(tokenizer->Encode(text, Special::kPlain)) == text);
  }
}

// Merges as the definition says: always the best pair of all, by looking at all of them.
List MergeSlowly(const Owned& owned, const std::string& text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  const auto find = [&](const std::string& token) -> TokenId {
    const auto found = std::ranges::find(owned.tokens, token);
    return found == owned.tokens.end() ? -1 : static_cast<TokenId>(found - owned.tokens.begin());
  };
  for (;;) {
    size_t best = symbols.size();
    float best_score = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const TokenId id = find(symbols[i] + symbols[i + 1]);
      if (id < 0 || owned.vocabulary.scores[static_cast<size_t>(id)] <= best_score) continue;
      best = i;
      best_score = owned.vocabulary.scores[static_cast<size_t>(id)];
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  List ids;
  for (const std::string& symbol : symbols) ids.push_back(find(symbol));
  return ids;
}

TEST_CASE("merges are those of the definition", "[tokenizer][spm]") {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    Owned owned;
    owned.tokens = {"a", "b", "c"};
    for (int i = 0; i < 12; ++i) {
      std::string token;
      for (size_t size = 2 + random() % 4; size > 0; --size)
        token += static_cast<char>('a' + random() % 3);
      if (std::ranges::find(owned.tokens, token) == owned.tokens.end())
        owned.tokens.push_back(token);
    }
    for (size_t i = 0; i < owned.tokens.size(); ++i) {  // with equal ones, and of both signs
      owned.vocabulary.scores.push_back(static_cast<float>(random() % 7) - 3);
    }
    owned.vocabulary.add_space_prefix = false;
    const auto tokenizer = MakeSpmTokenizer(owned.View());
    for (int line = 0; line < 20; ++line) {
      std::string text;
      for (size_t size = random() % 30; size > 0; --size)
        text += static_cast<char>('a' + random() % 3);
      CAPTURE(text);
      REQUIRE(tokenizer->Encode(text, Special::kPlain) == MergeSlowly(owned, text));
    }
  }
}

TEST_CASE("cutting at spaces changes no token", "[tokenizer][spm]") {
  // "b▁" is within a token, so words may only be cut behind "a".
  Owned owned = TestVocabulary();
  owned.tokens.push_back("b▁a");
  owned.tokens.push_back("b▁");
  for (const float score : {-0.5F, -0.6F}) owned.vocabulary.scores.push_back(score);
  for (int i = 0; i < 2; ++i) owned.vocabulary.token_types.push_back(1);
  owned.vocabulary.add_space_prefix = false;
  const auto last = static_cast<TokenId>(owned.tokens.size()) - 1;
  const auto tokenizer = MakeSpmTokenizer(owned.View());
  CHECK(tokenizer->Encode("ab a a", Special::kPlain) == List{4, last - 1, 8});
  CHECK(tokenizer->Encode("a b b", Special::kPlain) == List{4, 3, last, 5});
}

std::string Refusal(const SpmVocabulary& vocabulary) {
  try {
    MakeSpmTokenizer(vocabulary);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("a SentencePiece vocabulary that contradicts itself is refused", "[tokenizer][spm]") {
  const Owned owned = TestVocabulary();
  REQUIRE(Refusal(owned.View()) == "accepted");
  const auto with = [&](auto change) {
    SpmVocabulary bad = owned.View();
    change(bad);
    return Refusal(bad);
  };
  CHECK(with([](auto& v) { v.scores.pop_back(); }) ==
        "tokenizer.ggml.scores: not one score a token: found 266 scores, allowed 267");
  CHECK(with([](auto& v) {
          v.scores[3] = NAN;
        }).starts_with("tokenizer.ggml.scores[3]: not a finite number"));
  CHECK(with([](auto& v) {
          v.token_types.pop_back();
        }).starts_with("tokenizer.ggml.token_type: not one type a token"));
  CHECK(with([](auto& v) {
          v.tokens[20] = "<0xG0>";
        }).starts_with("tokenizer.ggml.tokens[20]: a byte token that names no byte"));
  CHECK(with([](auto& v) { v.eos = 267; }).starts_with("tokenizer.ggml.eos_token_id: "));
  CHECK(with([](auto& v) { v.unknown = -5; }).starts_with("tokenizer.ggml.unknown_token_id: "));
  CHECK(with([](auto& v) { v = {}; }).starts_with("tokenizer.ggml.tokens: not a vocabulary"));
}

TEST_CASE("defaults of GGUF files with a SentencePiece vocabulary", "[tokenizer][spm]") {
  const Owned owned = TestVocabulary();
  test::GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("tokenizer.ggml.model", "llama");
  writer.SetStrings("tokenizer.ggml.tokens", owned.tokens);
  writer.SetInts("tokenizer.ggml.token_type", owned.vocabulary.token_types);
  writer.SetFloats("tokenizer.ggml.scores", owned.vocabulary.scores);
  writer.SetU32("tokenizer.ggml.bos_token_id", 1);
  writer.AddZeros("token_embd.weight", DType::kF32, {4, 4});
  const auto load = [&writer] {
    const test::Bytes bytes = writer.ToBytes();
    return LoadTokenizer(GgufFile::FromMemory(bytes, "test").metadata());
  };
  CHECK(load()->add_bos());
  CHECK_FALSE(load()->add_eos());
  CHECK(load()->Encode("a", Special::kPlain) == List{8});
  writer.SetBool("tokenizer.ggml.add_space_prefix", false);
  writer.SetBool("tokenizer.ggml.add_bos_token", false);
  writer.SetBool("tokenizer.ggml.add_eos_token", true);
  CHECK_FALSE(load()->add_bos());
  CHECK(load()->add_eos());
  CHECK(load()->Encode("a", Special::kPlain) == List{4});
}

TEST_CASE("Gemma 3 tokenizes as under transformers", "[tokenizer][spm][model]") {
  if (!testing::Gemma3Path()) SKIP("no Gemma 3: run scripts/get-model.sh gemma3");
  const GgufFile file = GgufFile::Open(*testing::Gemma3Path());
  const auto tokenizer = LoadTokenizer(file.metadata());
  REQUIRE(tokenizer);
  CHECK(tokenizer->bos() == 2);
  CHECK(tokenizer->add_bos());
  std::ifstream expected_file(std::string(SPARK_TEST_DATA) + "/text/gemma.json");
  const auto expected = nlohmann::json::parse(expected_file);
  REQUIRE(expected.at("tokenization").size() > 10);
  for (const auto& entry : expected.at("tokenization")) {
    const auto text = entry.at("text").get<std::string>();
    CAPTURE(text);
    const auto ids = tokenizer->Encode(text, Special::kParse);
    CHECK(ids == entry.at("ids").get<List>());
    CHECK(tokenizer->Decode(ids) == entry.at("decoded").get<std::string>());
  }
  std::mt19937 random(6);
  for (int line = 0; line < 5'000; ++line) {
    const std::string text = test::RandomUnicodeLine(random);
    if (text.find("\u2581") != text.npos) continue;
    REQUIRE(tokenizer->Decode(tokenizer->Encode(text, Special::kPlain)) == text);
  }
}

}  // namespace spm_tokenizer_test
}  // namespace spark
