#include "io/json.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace json_test {

using test::ExpectError;

void ExpectRefused(std::string_view text, std::initializer_list<std::string_view> parts) {
  CAPTURE(text);
  ExpectError([&] { ParseJson(text, "test.json"); }, parts);
  ExpectError([&] { ParseJson(text, "test.json"); }, {"test.json: offset "});
}

TEST_CASE("json: values of every kind", "[json]") {
  const auto json = ParseJson(R"({"a": [1, -2, 2.5, true, false, null, "x\u00e9"], "b": {"": {}},
                                  "c": 18446744073709551615})",
                              "test.json");
  CHECK(json["a"] == nlohmann::json({1, -2, 2.5, true, false, nullptr, "xé"}));
  CHECK(json["b"][""].is_object());
  CHECK(json["c"].get<uint64_t>() == UINT64_MAX);
  CHECK(ParseJson(" 7 ", "test.json") == 7);
  CHECK(ParseJson("[[], [[]], {}]", "test.json").size() == 3);
}

TEST_CASE("json: what is not strict JSON is refused", "[json]") {
  for (const std::string_view text :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "NaN", "[1] 2", "// x\n1", "01", "1.",
        "\"\t\"", "\"\\x\"", "\"\\ud800\"", "1e999", "[1}", "tru"}) {
    ExpectRefused(text, {"invalid JSON"});
  }
  ExpectRefused("\xEF\xBB\xBF{}", {"byte order mark"});
}

TEST_CASE("json: zero bytes do not end the text", "[json]") {
  ExpectRefused(std::string_view("{}\0garbage", 10), {"offset 2", "zero byte"});
}

TEST_CASE("json: invalid UTF-8 is refused", "[json]") {
  for (const std::string_view text : {"\"\xFF\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"",
                                      "\"\xF5\x80\x80\x80\"", "{\"\x80\": 1}"}) {
    ExpectRefused(text, {"invalid JSON"});
  }
}

TEST_CASE("json: duplicate keys are refused, at any depth", "[json]") {
  ExpectRefused(R"({"a": 1, "a": 1})", {"offset 12", "duplicate key", "\"a\""});
  ExpectRefused(R"([{"b": {"a": 1, "c": 2, "a": {}}}])", {"duplicate key", "\"a\""});
  ExpectRefused(R"({"a": 1, "\u0061": 1})", {"duplicate key"});
  CHECK(ParseJson(R"({"a": {"a": 1}, "b": {"a": 1}})", "test.json").size() == 2);
}

TEST_CASE("json: depth is bounded", "[json]") {
  CHECK_NOTHROW(ParseJson("[[[[[[[[1]]]]]]]]", "test.json"));
  ExpectRefused("[[[[[[[[[1]]]]]]]]]", {"offset 9", "nested too deeply", "at most 8"});
  ExpectRefused(std::string(1'000'000, '['), {"nested too deeply"});
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  ExpectRefused(objects, {"nested too deeply"});
}

TEST_CASE("json: the number of values is bounded", "[json]") {
  std::string text = "[0";
  for (size_t i = 0; i < kMaxJsonValues; ++i) text += ",0";
  ExpectRefused(text + "]", {"too many JSON values"});
}

TEST_CASE("json: offsets count from the start of the file", "[json]") {
  ExpectError([] { ParseJson("[1,]", "test.json", 1000); }, {"test.json: offset 1003"});
}

TEST_CASE("json: a file is read, up to a limit", "[json]") {
  const test::TempDir dir;
  const std::string path = dir.Write("a.json", "{\"a\": 1}\n");
  CHECK(ParseJsonFile(path)["a"] == 1);
  ExpectError([&] { ParseJsonFile(path, 8); }, {path, "too large", "9 bytes", "at most 8"});
  ExpectError([&] { ParseJsonFile(dir / "b.json"); }, {"b.json", "No such file"});
}

}  // namespace json_test
}  // namespace spark
