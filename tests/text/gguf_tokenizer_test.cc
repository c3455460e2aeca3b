#include "text/gguf_tokenizer.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/gguf.h"
#include "spark/chat.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/tokenizer_fixture.h"

namespace spark {
namespace gguf_tokenizer_test {

using Special = Tokenizer::Special;

test::GgufWriter SmolWriter() {
  const test::OwnedVocabulary vocabulary = test::LoadVocabulary("smollm", "smollm");
  test::GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("tokenizer.ggml.model", "gpt2");
  writer.SetString("tokenizer.ggml.pre", vocabulary.pre);
  writer.SetStrings("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.SetInts("tokenizer.ggml.token_type", vocabulary.token_types);
  writer.SetStrings("tokenizer.ggml.merges", vocabulary.merges);
  writer.SetU32("tokenizer.ggml.bos_token_id", 1);
  writer.SetU32("tokenizer.ggml.eos_token_id", 2);
  writer.SetBool("tokenizer.ggml.add_bos_token", true);
  writer.AddZeros("token_embd.weight", DType::kF32, {4, 4});
  return writer;
}

std::unique_ptr<Tokenizer> Load(const test::GgufWriter& writer) {
  const test::Bytes bytes = writer.ToBytes();
  return LoadTokenizer(GgufFile::FromMemory(bytes, "test").metadata());
}

TEST_CASE("a GGUF file's tokenizer outlives the file", "[tokenizer]") {
  const auto tokenizer = Load(SmolWriter());
  REQUIRE(tokenizer);
  for (const test::TokenizedText& entry : test::LoadExpected("smollm")) {
    CHECK(tokenizer->Encode(entry.text, Special::kParse) == entry.ids);
  }
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->add_bos());
  CHECK(tokenizer->IsEndOfText(2));
}

TEST_CASE("keys that a GGUF file may leave out", "[tokenizer]") {
  auto writer = SmolWriter();
  for (const char* key :
       {"token_type", "merges", "bos_token_id", "eos_token_id", "add_bos_token"}) {
    writer.Remove(std::string("tokenizer.ggml.") + key);
  }
  auto tokenizer = Load(writer);
  CHECK(tokenizer->bos() == -1);
  CHECK_FALSE(tokenizer->add_bos());
  CHECK_FALSE(tokenizer->IsControl(1));
  CHECK(tokenizer->Decode(tokenizer->Encode("all bytes", Special::kPlain)) == "all bytes");
  writer.SetString("tokenizer.ggml.pre", "llama-bpe");
  CHECK(Load(writer)->add_bos());
  writer.SetU32("tokenizer.ggml.eos_token_id", 0xFFFFFFFF);  // "none" of some converters
  CHECK_FALSE(Load(writer)->IsEndOfText(-1));
  writer.Remove("tokenizer.ggml.model");
  CHECK(Load(writer) == nullptr);
  writer.SetString("tokenizer.ggml.model", "no_vocab");
  CHECK(Load(writer) == nullptr);
}

TEST_CASE("bad tokenizer metadata is refused", "[tokenizer]") {
  const auto refuse = [](auto change, std::initializer_list<std::string_view> parts) {
    auto writer = SmolWriter();
    change(writer);
    test::ExpectError([&] { Load(writer); }, parts);
  };
  refuse([](auto& w) { w.SetString("tokenizer.ggml.model", "bert"); },
         {"tokenizer.ggml.model", "unsupported kind", "\"bert\"", "gpt2", "llama"});
  refuse([](auto& w) { w.Remove("tokenizer.ggml.tokens"); }, {"tokenizer.ggml.tokens"});
  refuse([](auto& w) { w.Remove("tokenizer.ggml.pre"); }, {"tokenizer.ggml.pre", "found none"});
  refuse([](auto& w) { w.SetString("tokenizer.ggml.pre", std::string(100'000, 'x')); },
         {"tokenizer.ggml.pre", "smollm"});
  refuse([](auto& w) { w.SetInts("tokenizer.ggml.token_type", {1, 2}); }, {"2 types"});
  refuse([](auto& w) { w.SetU32("tokenizer.ggml.eos_token_id", 0x80000000); },
         {"eos_token_id", "2147483648"});
  refuse([](auto& w) { w.SetU32("tokenizer.ggml.bos_token_id", 1200); }, {"bos_token_id", "1200"});
  refuse([](auto& w) { w.SetStrings("tokenizer.ggml.merges", {"a \u0144"}); }, {"merges[0]"});
}

// SmolLM2-135M-Instruct, which is not part of the repository; empty if it is not there.
std::string SmolLm2Path() {
  const char* variable = std::getenv("SPARK_SMOLLM2");
  const std::string path = variable ? variable : SPARK_SOURCE_DIR "/models/smollm2.gguf";
  return std::filesystem::exists(path) ? path : "";
}

TEST_CASE("SmolLM2 tokenizes and renders chats as under transformers", "[tokenizer][model]") {
  const std::string path = SmolLm2Path();
  if (path.empty()) SKIP("no SmolLM2: set SPARK_SMOLLM2 or add models/smollm2.gguf");
  const GgufFile file = GgufFile::Open(path);
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = LoadTokenizer(file.metadata());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  REQUIRE(tokenizer);
  INFO("loaded in " << seconds.count() << " s");
  CHECK(seconds.count() < 1);  // some 0.02 s; a quadratic loader would take minutes

  std::ifstream expected_file(std::string(SPARK_TEST_DATA) + "/text/smol.json");
  const auto expected = nlohmann::json::parse(expected_file);
  REQUIRE(expected.at("tokenization").size() > 10);
  for (const auto& entry : expected.at("tokenization")) {
    const auto text = entry.at("text").get<std::string>();
    CAPTURE(text);
    const auto ids = tokenizer->Encode(text, Special::kParse);
    CHECK(ids == entry.at("ids").get<std::vector<TokenId>>());
    CHECK(tokenizer->Decode(ids) == entry.at("decoded").get<std::string>());
  }
  for (const auto& entry : expected.at("logits")) {
    CHECK(tokenizer->Encode(entry.at("prompt").get<std::string>(), Special::kParse) ==
          entry.at("ids").get<std::vector<TokenId>>());
    CHECK(tokenizer->Decode(entry.at("greedy_ids").get<std::vector<TokenId>>()) ==
          entry.at("greedy_text").get<std::string>());
  }
  const ChatFormat format = ChatFormatOf(file.metadata().GetString("tokenizer.chat_template"));
  for (const auto& chat : expected.at("chat")) {
    std::vector<ChatMessage> messages;
    for (const auto& message : chat.at("messages")) {
      messages.push_back(
          {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
    }
    CHECK(RenderChat(format, messages, true) == chat.at("prompt").get<std::string>());
  }
}

}  // namespace gguf_tokenizer_test
}  // namespace spark
