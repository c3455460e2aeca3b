// Long strings. "[.speed]" prints a table of times; it runs only when asked for by name.
#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "io/gguf.h"
#include "tests/support/random_text.h"
#include "tests/support/tokenizer_fixture.h"
#include "text/gguf_tokenizer.h"
#include "text/hf_tokenizer.h"

namespace spark {
namespace tokenizer_speed_test {

struct Text {
  const char* name;
  std::string text;
};

std::string Repeat(std::string_view unit, size_t size) {
  std::string text;
  while (text.size() + unit.size() <= size) text += unit;
  return text;
}

std::string RandomLetters(size_t size, const char* letters, size_t n_letters) {
  std::mt19937 random(8);
  std::string text(size, ' ');
  for (char& c : text) c = letters[random() % n_letters];
  return text;
}

std::string RandomLines(size_t size) {
  std::mt19937 random(9);
  std::string text;
  while (text.size() < size) text += test::RandomUnicodeLine(random);
  return text;
}

std::vector<Text> NastyTexts(size_t size) {
  return {{"all a", Repeat("a", size)},
          {"spaces", Repeat(" ", size)},
          {"letters", RandomLetters(size, "abcdefghijklmnopqrstuvwxyz", 26)},
          {"words", RandomLetters(size, "etaoinshr    ,.", 15)},
          {"digits", RandomLetters(size, "0123456789", 10)},
          {"emoji", Repeat("👩‍👧🏳️‍🌈", size)},
          {"lines", Repeat("\n", size)},
          {"marks", Repeat("\u0301\u0323", size)},
          {"unicode", RandomLines(size)}};
}

struct Named {
  std::string name;
  std::unique_ptr<Tokenizer> tokenizer;
};

std::vector<Named> Fixtures() {
  std::vector<Named> all;
  for (const char* name : {"gpt2", "llama2", "llama3", "qwen2", "smollm"}) {
    all.push_back({name, LoadHfTokenizer(std::string(SPARK_TEST_DATA) + "/tokenizers/" + name)});
  }
  return all;
}

void AddModel(const char* variable, const char* file, std::vector<Named>& all) {
  const char* named = std::getenv(variable);
  const std::string path = named ? named : std::string(SPARK_SOURCE_DIR "/models/") + file;
  if (std::filesystem::exists(path)) {
    all.push_back({file, LoadTokenizer(GgufFile::Open(path).metadata())});
  }
}

double Seconds(const Tokenizer& tokenizer, const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  const auto ids = tokenizer.Encode(text, Tokenizer::Special::kPlain);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  REQUIRE_FALSE(ids.empty());
  return seconds.count();
}

TEST_CASE("half a megabyte in one string, however nasty", "[tokenizer]") {
  for (const Named& entry : Fixtures()) {
    for (const Text& nasty : NastyTexts(1 << 19)) {
      CAPTURE(entry.name, nasty.name);
      const auto ids = entry.tokenizer->Encode(nasty.text, Tokenizer::Special::kPlain);
      if (entry.name == "qwen2") continue;  // composes
      if (entry.name == "llama2" && nasty.text.find("\u2581") != std::string::npos) continue;
      REQUIRE(entry.tokenizer->Decode(ids) == nasty.text);
    }
  }
}

TEST_CASE("four megabytes in one string", "[tokenizer]") {
  for (const char* name : {"llama2", "smollm"}) {
    const auto tokenizer = LoadHfTokenizer(std::string(SPARK_TEST_DATA) + "/tokenizers/" + name);
    for (const Text& nasty : NastyTexts(4 << 20)) {
      // The rest is in the test below; these alone take some seconds.
      const std::string_view kind = nasty.name;
      if (kind != "all a" && kind != "letters" && kind != "emoji") continue;
      CAPTURE(name, kind);
      CHECK_FALSE(tokenizer->Encode(nasty.text, Tokenizer::Special::kPlain).empty());
    }
  }
}

TEST_CASE("times of long strings", "[.speed]") {
  std::vector<Named> all = Fixtures();
  AddModel("SPARK_SMOLLM2", "smollm2.gguf", all);
  AddModel("SPARK_GEMMA3", "gemma3-270m.gguf", all);
  fmt::print("{:<18}{:<10}{:>8}{:>8}{:>8}{:>8}  seconds\n", "tokenizer", "text", "0.5 MB", "1 MB",
             "2 MB", "4 MB");
  for (const Named& entry : all) {
    for (size_t i = 0; i < NastyTexts(1).size(); ++i) {
      fmt::print("{:<18}{:<10}", entry.name, NastyTexts(1)[i].name);
      for (const size_t size : {1 << 19, 1 << 20, 1 << 21, 1 << 22}) {
        fmt::print("{:>8.3f}", Seconds(*entry.tokenizer, NastyTexts(size)[i].text));
      }
      fmt::print("\n");
    }
  }
}

}  // namespace tokenizer_speed_test
}  // namespace spark
