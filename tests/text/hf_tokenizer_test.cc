#include "text/hf_tokenizer.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "spark/chat.h"
#include "spark/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_text.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizer_fixture.h"
#include "text/hf_config.h"

namespace spark {
namespace hf_tokenizer_test {

using Special = Tokenizer::Special;
using Json = nlohmann::json;

std::string FixtureFolder(const std::string& name) {
  return std::string(SPARK_TEST_DATA) + "/tokenizers/" + name;
}

Json ReadJson(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  return Json::parse(file);
}

// A folder with files of these names and contents.
class Folder {
 public:
  Folder& Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.path() / name, std::ios::binary) << text;
    return *this;
  }
  std::unique_ptr<Tokenizer> Load() const { return LoadHfTokenizer(path()); }
  std::string path() const { return dir_.path().string(); }

 private:
  test::TempDir dir_;
};

std::vector<TokenId> WithSpecial(const Tokenizer& tokenizer, std::vector<TokenId> ids) {
  if (tokenizer.add_bos()) ids.insert(ids.begin(), tokenizer.bos());
  if (tokenizer.add_eos()) ids.push_back(tokenizer.eos());
  return ids;
}

TEST_CASE("tokenizer.json gives the tokens of Hugging Face's tokenizers", "[tokenizer][hf]") {
  const std::string name = GENERATE("gpt2", "llama2", "llama3", "qwen2", "smollm");
  const auto tokenizer = LoadHfTokenizer(FixtureFolder(name));
  REQUIRE(tokenizer);
  const Json expected = ReadJson(FixtureFolder(name) + "/expected.json");
  REQUIRE(expected.size() > 10);
  for (const Json& entry : expected) {
    const auto text = entry.at("text").get<std::string>();
    CAPTURE(name, text);
    const auto ids = tokenizer->Encode(text, Special::kParse);
    CHECK(ids == entry.at("ids").get<std::vector<TokenId>>());
    CHECK(WithSpecial(*tokenizer, ids) == entry.at("ids_with_special").get<std::vector<TokenId>>());
    CHECK(tokenizer->Decode(ids) == entry.at("decoded").get<std::string>());
  }
}

TEST_CASE("100,000 random lines through tokenizer.json round-trip", "[tokenizer][hf]") {
  const std::string name = GENERATE("gpt2", "llama3", "smollm", "llama2");
  const auto tokenizer = LoadHfTokenizer(FixtureFolder(name));
  std::mt19937 random(3);
  for (int line = 0; line < 25'000; ++line) {
    const std::string text = test::RandomUnicodeLine(random);
    if (name == "llama2" && text.find("\u2581") != text.npos) continue;  // is a space there
    if (tokenizer->Decode(tokenizer->Encode(text, Special::kPlain)) != text) {
      FAIL(name << ": line " << line << " came back different: " << text);
    }
  }
}

TEST_CASE("Qwen's tokenizer.json composes characters", "[tokenizer][hf]") {
  const auto tokenizer = LoadHfTokenizer(FixtureFolder("qwen2"));
  CHECK(tokenizer->Decode(tokenizer->Encode("e\u0301 \xFF o\u0308", Special::kPlain)) ==
        "\u00E9 \xFF \u00F6");
}

// A character-level BPE in SentencePiece's manner, small enough to follow by hand.
Json SmallModel() {
  return Json::parse(R"({
    "added_tokens": [
      {"id": 0, "content": "<unk>", "special": true, "normalized": false},
      {"id": 1, "content": "<s>", "special": true, "normalized": false},
      {"id": 2, "content": "</s>", "special": true, "normalized": false}],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false,
      "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5, "▁": 6, "▁a": 7},
      "merges": ["a b", ["▁", "a"]]}})");
}

std::unique_ptr<Tokenizer> Load(const Json& json) {
  return Folder().Write("tokenizer.json", json.dump()).Load();
}

std::vector<TokenId> Ids(const Json& json, std::string_view text,
                         Special special = Special::kParse) {
  return Load(json)->Encode(text, special);
}

TEST_CASE("characters without a token", "[tokenizer][hf]") {
  Json json = SmallModel();
  CHECK(Ids(json, "ab a") == std::vector<TokenId>{5, 7});
  CHECK(Ids(json, "axya") == std::vector<TokenId>{3, 0, 3});
  json["model"]["fuse_unk"] = false;
  CHECK(Ids(json, "axya") == std::vector<TokenId>{3, 0, 0, 3});
  json["model"]["unk_token"] = nullptr;
  CHECK(Ids(json, "axya") == std::vector<TokenId>{3, 3});
  json["model"]["byte_fallback"] = true;
  json["model"]["vocab"]["<0x78>"] = 8;
  json["decoder"] = Json::parse(R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}]})");
  CHECK(Ids(json, "axya") == std::vector<TokenId>{3, 8, 3});
  CHECK(Load(json)->TokenBytes(8) == "x");
}

TEST_CASE("rules of added tokens", "[tokenizer][hf]") {
  Json json = SmallModel();
  const auto with = [&json](const char* token, std::string_view text,
                            Special special = Special::kParse) {
    Json changed = json;
    changed["added_tokens"].push_back(Json::parse(token));
    return Ids(changed, text, special);
  };
  const char* plain = R"({"id": 8, "content": "<t>", "special": true, "normalized": false})";
  CHECK(with(plain, "a<t> b") == std::vector<TokenId>{3, 8, 6, 4});
  CHECK(with(plain, "<t>", Special::kPlain) == std::vector<TokenId>{0});
  const char* strips = R"({"id": 8, "content": "<t>", "special": false, "normalized": false,
                           "lstrip": true, "rstrip": true})";
  CHECK(with(strips, "a  <t>\n b", Special::kPlain) == std::vector<TokenId>{3, 8, 4});
  const char* word = R"({"id": 8, "content": "ba", "special": true, "single_word": true,
                         "normalized": false})";
  CHECK(with(word, "aba ba") == std::vector<TokenId>{5, 3, 6, 8});
  CHECK(with(word, "ba b") == std::vector<TokenId>{8, 6, 4});
  const char* normalized = R"({"id": 8, "content": "b b", "special": false, "normalized": true})";
  CHECK(with(normalized, "ab bb") == std::vector<TokenId>{3, 8, 4});
}

TEST_CASE("pre-tokenizers of tokenizer.json", "[tokenizer][hf]") {
  Json json = SmallModel();
  const auto with = [&json](const char* stage, std::string_view text) {
    json["pre_tokenizer"] = Json::parse(stage);
    return Ids(json, text);
  };
  using List = std::vector<TokenId>;
  CHECK(with(R"({"type": "Split", "pattern": {"Regex": "b"}, "behavior": "Isolated",
                 "invert": false})",
             "aab") == List{3, 3, 4});
  CHECK(with(R"({"type": "Split", "pattern": {"String": "b"}, "behavior": "Removed",
                 "invert": false})",
             "abab") == List{3, 3});
  CHECK(with(R"({"type": "Split", "pattern": {"String": "b"}, "behavior": "Removed",
                 "invert": true})",
             "abab") == List{4, 4});
  CHECK(with(R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "MergedWithPrevious",
                 "invert": false})",
             "abab") == List{3, 4, 3, 4});
  CHECK(with(R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "MergedWithNext",
                 "invert": false})",
             "abab") == List{5, 5});
  CHECK(with(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
                 "split": true})",
             "a<s>a a") == List{7, 1, 3, 7});
  CHECK(with(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                 "split": true})",
             "a<s>a a") == List{7, 1, 7, 7});
  CHECK(with(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false})", "a a") ==
        List{3, 7});
}

TEST_CASE("names and ids beside tokenizer.json", "[tokenizer][hf]") {
  Folder folder;
  folder.Write("tokenizer.json", SmallModel().dump());
  CHECK(folder.Load()->bos() == -1);
  CHECK(folder.Load()->IsEndOfText(2));  // by its name
  folder.Write("config.json", R"({"bos_token_id": 1, "eos_token_id": 3})");
  CHECK(folder.Load()->bos() == 1);
  CHECK(folder.Load()->eos() == 3);
  CHECK_FALSE(folder.Load()->add_bos());
  folder.Write("generation_config.json", R"({"eos_token_id": [4, 5]})");
  folder.Write("tokenizer_config.json",
               R"({"bos_token": {"content": "<s>"}, "eos_token": "ab", "add_bos_token": true,
                   "tokenizer_class": "LlamaTokenizer", "chat_template": "plain"})");
  const auto tokenizer = folder.Load();
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->add_bos());
  CHECK(tokenizer->eos() == 5);
  CHECK(tokenizer->IsEndOfText(4));
  CHECK_FALSE(tokenizer->IsEndOfText(3));
  CHECK(LoadHfChatTemplate(folder.path()) == "plain");
  folder.Write("tokenizer_config.json", R"({"chat_template": [
      {"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]})");
  CHECK(LoadHfChatTemplate(folder.path()) == "d");
  folder.Write("chat_template.jinja", "j");
  CHECK(LoadHfChatTemplate(folder.path()) == "j");
  CHECK(LoadHfTokenizer(folder.path(), 100)->vocab_size() == 100);
  CHECK(LoadHfTokenizer(folder.path(), 100)->TokenBytes(99).empty());
  CHECK(Folder().Load() == nullptr);
  CHECK_FALSE(LoadHfChatTemplate(Folder().path()));
}

TEST_CASE("a model's folder brings its tokenizer and chat template", "[tokenizer][hf]") {
  const test::TempDir dir;
  const std::string model = std::string(SPARK_TEST_DATA) + "/models/llama";
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(model + "/" + name, dir / name);
  }
  CHECK(Model::Load(dir.path().string()).tokenizer() == nullptr);
  std::ofstream(dir / "tokenizer.json") << SmallModel().dump();
  std::ofstream(dir / "chat_template.jinja") << "<|im_start|>{{ role }}<|im_end|>";
  const Model loaded = Model::Load(dir.path().string());
  REQUIRE(loaded.tokenizer() != nullptr);
  CHECK(loaded.tokenizer()->vocab_size() == loaded.info().vocab_size);
  REQUIRE(loaded.chat_format());
  CHECK(loaded.chat_format()->name == "chatml");
}

TEST_CASE("bad files beside tokenizer.json are refused", "[tokenizer][hf]") {
  const auto refuse = [](const char* name, const char* text,
                         std::initializer_list<std::string_view> parts) {
    Folder folder;
    folder.Write("tokenizer.json", SmallModel().dump()).Write(name, text);
    test::ExpectError([&] { folder.Load(); }, parts);
  };
  refuse("config.json", "[]", {"config.json", "an object"});
  refuse("config.json", R"({"eos_token_id": 99})", {"eos_token_id", "99", "below 8"});
  refuse("config.json", R"({"eos_token_id": [1, "x"]})", {"config.json", "eos_token_id[1]"});
  refuse("generation_config.json", R"({"bos_token_id": 1e99})", {"bos_token_id"});
  refuse("tokenizer_config.json", R"({"bos_token": 7})", {"tokenizer_config.json", "bos_token"});
  refuse("tokenizer_config.json", R"({"eos_token": {}})", {"eos_token.content", "missing"});
}

}  // namespace hf_tokenizer_test
}  // namespace spark
