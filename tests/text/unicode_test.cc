#include "text/unicode.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <string>

#include "text/normalizer.h"

namespace spark {
namespace unicode_test {

TEST_CASE("normal forms", "[unicode]") {
  // From the examples of annex 15.
  CHECK(Normalize("\u212B", NormalForm::kNfc) == "\u00C5");
  CHECK(Normalize("\u212B", NormalForm::kNfd) == "A\u030A");
  CHECK(Normalize("s\u0307\u0323", NormalForm::kNfc) == "\u1E69");
  CHECK(Normalize("\u1E69", NormalForm::kNfd) == "s\u0323\u0307");
  CHECK(Normalize("\uFB01 2\u2075", NormalForm::kNfc) == "\uFB01 2\u2075");
  CHECK(Normalize("\uFB01 2\u2075", NormalForm::kNfkc) == "fi 25");
  CHECK(Normalize("\u1E9B\u0323", NormalForm::kNfkc) == "\u1E69");
  CHECK(Normalize("\u1E9B\u0323", NormalForm::kNfkd) == "s\u0323\u0307");
  CHECK(Normalize("\u1100\u1161\u11A8", NormalForm::kNfc) == "\uAC01");  // Hangul
  CHECK(Normalize("\u0958", NormalForm::kNfc) == "\u0915\u093C");        // never composed
  CHECK(Normalize("<\u0338", NormalForm::kNfc) == "\u226E");             // ASCII takes part
  CHECK(Normalize("e\xFF\u0301 e\u0301\xC3", NormalForm::kNfc) == "e\xFF\u0301 \u00E9\xC3");
  CHECK(Normalize("plain", NormalForm::kNfkc) == "plain");
  CHECK(Normalize("", NormalForm::kNfc).empty());
}

TEST_CASE("a heap of marks is sorted in little time", "[unicode]") {
  std::string text = "a";
  for (int i = 0; i < 500'000; ++i) text += "\u0301\u0323";  // each pair out of order
  const auto start = std::chrono::steady_clock::now();
  const std::string composed = Normalize(text, NormalForm::kNfc);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(composed.starts_with("\u1EA1\u0323"));
  CHECK(seconds.count() < 5);  // some 0.1 s; a bubble sort takes minutes
}

TEST_CASE("lower case, white space, words", "[unicode]") {
  CHECK(Lowercase("ÀB\u0130\xFF") == "àbi\u0307\xFF");
  CHECK(LeadingSpace(" \u3000\tx ") == 5);
  CHECK(TrailingSpace(" x \u00A0\n") == 4);
  CHECK(TrailingSpace("\xFF") == 0);
  CHECK(LeadingSpace("") == 0);
  CHECK(BeginsWithWord("é."));
  CHECK(BeginsWithWord("_"));
  CHECK_FALSE(BeginsWithWord("-a"));
  CHECK_FALSE(BeginsWithWord(""));
  CHECK(EndsWithWord("-字"));
  CHECK_FALSE(EndsWithWord("a\xFF"));
}

std::string Apply(Normalizer::Step step, std::string_view text, bool is_first = true) {
  Normalizer normalizer;
  normalizer.Add(std::move(step));
  return normalizer.Apply(text, is_first);
}

TEST_CASE("steps of normalizers", "[unicode]") {
  using Kind = Normalizer::Kind;
  CHECK(Apply({.kind = Kind::kReplace, .from = "aa", .to = "b"}, "aaaxaa") == "baxb");
  CHECK(Apply({.kind = Kind::kReplace, .from = "", .to = "b"}, "aa") == "aa");
  CHECK(Apply({.kind = Kind::kReplace, .to = "-", .regex = Regex(R"(\s+)")}, "a \n b\u3000") ==
        "a-b-");
  CHECK(Apply({.kind = Kind::kReplace, .to = "-", .regex = Regex("x*")}, "ax") == "-a-");
  CHECK(Apply({.kind = Kind::kStrip, .from = "lr"}, " a ") == "a");
  CHECK(Apply({.kind = Kind::kStrip, .from = "r"}, " a ") == " a");
  CHECK(Apply({.kind = Kind::kPrepend, .to = "x"}, "x") == "xx");
  CHECK(Apply({.kind = Kind::kPrepend, .to = "x"}, "").empty());
  CHECK(Apply({.kind = Kind::kPrependIfMissing, .to = "x"}, "xa") == "xa");
  CHECK(Apply({.kind = Kind::kPrependToFirstPart, .to = "x"}, "a", false) == "a");
}

}  // namespace unicode_test
}  // namespace spark
