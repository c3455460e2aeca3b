// tokenizer.json files that contradict themselves, or ask for what there is not: one clear line.
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "spark/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"
#include "text/hf_tokenizer.h"

namespace spark {
namespace hf_refusal_test {

using Json = nlohmann::json;

Json Fixture() {
  std::ifstream file(std::string(SPARK_TEST_DATA) + "/tokenizers/llama3/tokenizer.json");
  REQUIRE(file);
  return Json::parse(file);
}

void Load(const test::TempDir& dir, const std::string& text) {
  std::ofstream(dir.path() / "tokenizer.json", std::ios::binary) << text;
  LoadHfTokenizer(dir.path().string());
}

// The fixture with `value` at `pointer` is refused with a line that holds `parts`.
void Refuse(const char* pointer, const char* value, std::initializer_list<std::string_view> parts) {
  const test::TempDir dir;
  Json json = Fixture();
  json[Json::json_pointer(pointer)] = Json::parse(value);
  CAPTURE(pointer, value);
  test::ExpectError([&] { Load(dir, json.dump()); }, parts);
  test::ExpectError([&] { Load(dir, json.dump()); }, {"tokenizer.json: "});
}

void RefuseWithout(const char* object, const char* key) {
  const test::TempDir dir;
  Json json = Fixture();
  json[Json::json_pointer(object)].erase(key);
  CAPTURE(object, key);
  test::ExpectError([&] { Load(dir, json.dump()); }, {key, "missing"});
}

TEST_CASE("other kinds of tokenizer.json are refused by name", "[tokenizer][hf]") {
  for (const char* type : {"Unigram", "WordPiece", "WordLevel"}) {
    Refuse("/model/type", Json(type).dump().c_str(), {"model.type", type, "BPE"});
  }
  Refuse("/normalizer", R"({"type": "Precompiled"})", {"normalizer.type", "Precompiled", "NFKC"});
  Refuse("/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "Nmt"}]})",
         {"normalizer.normalizers[0].type", "Nmt"});
  Refuse("/pre_tokenizer/pretokenizers/0/type", R"("Whitespace")",
         {"pre_tokenizer.pretokenizers[0].type", "Whitespace", "Metaspace"});
  Refuse("/pre_tokenizer/pretokenizers/0/behavior", R"("Sideways")", {"behavior", "Contiguous"});
  Refuse("/post_processor", R"({"type": "BertProcessing"})", {"post_processor.type", "Bert"});
  Refuse("/decoder", R"({"type": "WordPiece"})", {"decoder.type", "WordPiece"});
  Refuse("/decoder", R"({"type": "Metaspace"})", {"decoder.type", "ByteLevel"});
  Refuse("/decoder", "null", {"decoder", "missing"});
  Refuse("/model/dropout", "0.1", {"model.dropout", "0.1"});
  Refuse("/model/end_of_word_suffix", R"("</w>")", {"model.end_of_word_suffix", "</w>"});
}

TEST_CASE("missing fields of tokenizer.json", "[tokenizer][hf]") {
  for (const char* key : {"type", "vocab", "merges"}) RefuseWithout("/model", key);
  RefuseWithout("", "model");
  RefuseWithout("/pre_tokenizer", "pretokenizers");
  for (const char* key : {"type", "pattern", "behavior"}) {
    RefuseWithout("/pre_tokenizer/pretokenizers/0", key);
  }
  for (const char* key : {"id", "content"}) RefuseWithout("/added_tokens/1", key);
}

TEST_CASE("wrong types in tokenizer.json", "[tokenizer][hf]") {
  for (const char* pointer : {"",
                              "/model",
                              "/model/type",
                              "/model/vocab",
                              "/model/vocab/!",
                              "/model/merges",
                              "/model/merges/3",
                              "/model/ignore_merges",
                              "/added_tokens",
                              "/added_tokens/0",
                              "/added_tokens/0/id",
                              "/added_tokens/0/content",
                              "/added_tokens/0/special",
                              "/pre_tokenizer",
                              "/pre_tokenizer/pretokenizers",
                              "/pre_tokenizer/pretokenizers/0/pattern",
                              "/pre_tokenizer/pretokenizers/0/pattern/Regex",
                              "/decoder",
                              "/normalizer",
                              "/post_processor"}) {
    Refuse(pointer, "7.5", {});
    const bool is_flag = std::string_view(pointer).ends_with("ignore_merges") ||
                         std::string_view(pointer).ends_with("special");
    if (!is_flag) Refuse(pointer, "true", {});
  }
}

TEST_CASE("ids and merges of tokenizer.json that cannot be", "[tokenizer][hf]") {
  Refuse("/model/vocab/!", "4", {"model.vocab", "same id", "4"});
  Refuse("/model/vocab/!", "-1", {"model.vocab", "out of range"});
  Refuse("/model/vocab/!", "4000000000", {"model.vocab", "out of range", "4000000000"});
  Refuse("/model/vocab/!", "18446744073709551615", {"out of range"});
  Refuse("/added_tokens/0/id", "5", {"added_tokens[0].id", "model.vocab", "5", "allowed 0"});
  Refuse("/added_tokens/0/content", R"("<other>")", {"added_tokens[0].id", "same id"});
  Refuse("/added_tokens/3", R"({"id": 1000000, "content": "<other>"})",
         {"added_tokens[3].id", "out of range"});
  Refuse("/model/merges/2", R"("ab")", {"model.merges[2]", "not a pair"});
  Refuse("/model/merges/2", R"("a b c")", {"model.merges[2]"});
  Refuse("/model/merges/2", R"(["a"])", {"model.merges[2]"});
  Refuse("/model/merges/2", R"(["a", 1])", {"model.merges[2]"});
  Refuse("/model/merges/2", R"(["zqx", "a"])", {"model.merges[2]", "not a token"});
  Refuse("/model/merges/2", R"(["q", "zq"])", {"model.merges[2]", "not a token"});
  Refuse("/model/merges/2", R"(["a b", "c"])", {"model.merges[2]", "alphabet"});
  Refuse("/model/vocab", "{}", {"model.merges[0]", "not a token"});
  Refuse("/pre_tokenizer/pretokenizers/0/pattern/Regex", R"("(a")",
         {"pattern.Regex", "not a regular expression"});
  Refuse("/pre_tokenizer/pretokenizers/0/pattern/Regex", R"x("((((a{9999}){9999}){9999}){9999}")x",
         {"not a regular expression"});
  Refuse("/post_processor",
         R"x({"type": "TemplateProcessing",
              "special_tokens": {"<s>": {"id": "<s>", "ids": [5000], "tokens": ["<s>"]}},
              "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}]})x",
         {"post_processor", "5000", "below 1200"});
}

TEST_CASE("sizes in tokenizer.json out of all proportion", "[tokenizer][hf]") {
  const std::string large = Json(std::string(5 << 20, 'x')).dump();
  Refuse("/added_tokens/0/content", large.c_str(), {"same id"});
  Refuse("/added_tokens/3", (R"({"id": 1200, "content": )" + large + "}").c_str(),
         {"added_tokens", "too long", "4 MiB"});
  Refuse("/normalizer", (R"({"type": "Prepend", "prepend": )" + large + "}").c_str(),
         {"normalizer.prepend", "too long"});
  Refuse("/pre_tokenizer/pretokenizers/0/pattern/Regex", large.c_str(),
         {"pattern.Regex", "too long"});
}

TEST_CASE("damaged tokenizer.json files never crash", "[tokenizer][hf]") {
  const std::string text = Fixture().dump();
  const test::TempDir dir;
  std::mt19937 random(7);
  const auto attempt = [&](const std::string& damaged) {
    try {
      Load(dir, damaged);
    } catch (const Error& error) {
      const std::string line = error.what();
      REQUIRE(line.find('\n') == line.npos);
      REQUIRE(line.size() < 1000);
    }
  };
  for (int i = 0; i < 150; ++i) {
    std::string damaged = text;
    for (int n = 0; n < 3; ++n) {
      damaged[random() % damaged.size()] = "\"0{}[],:9\\ "[random() % 11];
    }
    attempt(damaged);
    attempt(text.substr(0, random() % text.size()));
  }
  // Values, rather than bytes, that are exchanged.
  Json json = Fixture();
  json["model"]["vocab"] = Json::object({{"a", 0}, {"b", 1}, {"ab", 2}});
  json["model"]["merges"] = Json::array({"a b"});
  json["added_tokens"] = Json::array();
  const Json flat = json.flatten();
  const char* values[] = {"null", "-1", "1e300", "\"\"", "[]", "{}", "[[]]", "\"\\u0000\"", "true"};
  for (const auto& [pointer, unused] : flat.items()) {
    for (const char* value : values) {
      Json changed = json;
      changed[Json::json_pointer(pointer)] = Json::parse(value);
      attempt(changed.dump());
    }
  }
  attempt("");
  attempt("[]");
  attempt(std::string(100'000, '['));
}

}  // namespace hf_refusal_test
}  // namespace spark
