#include "io/safetensors.h"

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <string>

#include "tests/support/expect_error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace safetensors_test {

using test::Bytes;
using test::ExpectError;

// A file of any header and `data_bytes` zeros; `header_bytes` may lie about the header's length.
Bytes File(std::string_view header, size_t data_bytes, std::optional<uint64_t> header_bytes = {}) {
  Bytes out;
  test::Put(out, header_bytes.value_or(header.size()));
  test::PutBytes(out, std::as_bytes(std::span(header)));
  out.resize(out.size() + data_bytes);
  return out;
}

void ExpectRefused(const Bytes& bytes, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { SafetensorsFile::FromMemory(bytes, "test.st"); }, parts);
  ExpectError([&] { SafetensorsFile::FromMemory(bytes, "test.st"); }, {"test.st: "});
}

// One tensor "a" with the rest of its description as given.
void ExpectRefused(const std::string& description, size_t data_bytes,
                   std::initializer_list<std::string_view> parts) {
  CAPTURE(description);
  ExpectRefused(File("{\"a\": " + description + "}", data_bytes), parts);
}

TEST_CASE("safetensors: tensors of every type", "[safetensors]") {
  Bytes bytes = File(R"({"__metadata__": {"format": "pt"},
      "f": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
      "h": {"dtype": "F16", "shape": [2], "data_offsets": [8, 12]},
      "b": {"dtype": "BF16", "shape": [], "data_offsets": [12, 14]},
      "e": {"dtype": "F32", "shape": [0, 7], "data_offsets": [14, 14]},
      "i": {"dtype": "I32", "shape": [1], "data_offsets": [14, 18]},
      "l": {"dtype": "I64", "shape": [1], "data_offsets": [18, 26]},
      "u": {"dtype": "U8", "shape": [1, 1], "data_offsets": [26, 27]}}  )",
                     0);
  test::Put(bytes, 1.5f);
  test::Put(bytes, -2.0f);
  test::Put(bytes, uint16_t{0x3C00});
  test::Put(bytes, uint16_t{0xC000});
  test::Put(bytes, uint16_t{0x3F80});
  test::Put(bytes, int32_t{-7});
  test::Put(bytes, int64_t{1} << 40);
  test::Put(bytes, uint8_t{200});
  const SafetensorsFile file = SafetensorsFile::FromMemory(bytes, "test.st");
  CHECK(file.tensors().size() == 7);
  CHECK(file.ReadFloats("f") == std::vector<float>{1.5f, -2.0f});
  CHECK(file.ReadFloats("h") == std::vector<float>{1.0f, -2.0f});
  CHECK(file.ReadFloats("b") == std::vector<float>{1.0f});
  CHECK(file.ReadFloats("e").empty());
  CHECK(file.ReadInts("i") == std::vector<int64_t>{-7});
  CHECK(file.ReadInts("l") == std::vector<int64_t>{int64_t{1} << 40});
  CHECK(file.ReadInts("u") == std::vector<int64_t>{200});
  CHECK(file.Get("f").shape == std::vector<uint64_t>{2, 1});
  CHECK(file.AsWeight(file.Get("h")).type == DType::kF16);
  CHECK(file.Find("absent") == nullptr);
  ExpectError([&] { file.Get("absent"); }, {"test.st", "absent", "missing"});
  ExpectError([&] { file.ReadFloats("i"); }, {"\"i\"", "found I32"});
  ExpectError([&] { file.ReadInts("f"); }, {"\"f\"", "found F32"});
}

TEST_CASE("safetensors: a header of spaces behind an empty object", "[safetensors]") {
  CHECK(SafetensorsFile::FromMemory(File("{}      ", 0), "test.st").tensors().empty());
}

TEST_CASE("safetensors: empty file, and files too short for the header length", "[safetensors]") {
  for (size_t n = 0; n < 8; ++n) ExpectRefused(Bytes(n), {"header length", "ends too early"});
}

TEST_CASE("safetensors: header longer than the file or than 100 MB", "[safetensors]") {
  ExpectRefused(File("{}", 0, 3),
                {"header length", "longer than the file", "found 3", "at most 2"});
  ExpectRefused(File("{}", 0, UINT64_MAX), {"header length", "found 18446744073709551615"});
  ExpectRefused(File("{}", 0, 100'000'001), {"header is too long"});
}

TEST_CASE("safetensors: header that is not a JSON object", "[safetensors]") {
  ExpectRefused(File("", 0), {"not a safetensors file"});
  ExpectRefused(File("[]", 0), {"not a safetensors file"});
  ExpectRefused(File(" {}", 0), {"not a safetensors file"});
  ExpectRefused(File("{\"a\": ", 0), {"invalid JSON"});
  ExpectRefused(File("{} x", 0), {"offset 11", "invalid JSON"});
  ExpectRefused(File("{\"\xFF\": 1}", 0), {"invalid JSON"});
}

TEST_CASE("safetensors: duplicate key", "[safetensors]") {
  const std::string entry = R"("a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]})";
  ExpectRefused(File("{" + entry + ", " + entry + "}", 1), {"duplicate key", "\"a\""});
}

TEST_CASE("safetensors: wrong dtype", "[safetensors]") {
  ExpectRefused(R"({"dtype": "F64", "shape": [1], "data_offsets": [0, 8]})", 8,
                {"\"a\": dtype", "found \"F64\"", "F32, F16, BF16"});
  ExpectRefused(R"({"dtype": 3, "shape": [1], "data_offsets": [0, 8]})", 8,
                {"dtype", "found number"});
}

TEST_CASE("safetensors: missing, unknown and mis-typed keys", "[safetensors]") {
  ExpectRefused(R"(7)", 0, {"\"a\"", "not an object"});
  ExpectRefused(R"({"shape": [1], "data_offsets": [0, 1]})", 1, {"dtype", "missing"});
  ExpectRefused(R"({"dtype": "U8", "data_offsets": [0, 1]})", 1, {"shape", "missing"});
  ExpectRefused(R"({"dtype": "U8", "shape": [1]})", 1, {"data_offsets", "missing"});
  ExpectRefused(R"({"dtype": "U8", "shape": [1], "data_offsets": [0, 1], "x": 0})", 1,
                {"unknown key", "\"x\""});
  ExpectRefused(R"({"dtype": "U8", "shape": 1, "data_offsets": [0, 1]})", 1,
                {"shape", "found number", "an array"});
  ExpectRefused(R"({"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]})", 1,
                {"shape", "found \"-1\""});
  ExpectRefused(R"({"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]})", 1,
                {"shape", "found \"1.0\""});
  ExpectRefused(R"({"dtype": "U8", "shape": [1,1,1,1,1,1,1,1,1], "data_offsets": [0, 1]})", 1,
                {"shape", "found 9"});
  ExpectRefused(R"({"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]})", 1,
                {"data_offsets", "found 3"});
  ExpectRefused(File(R"({"__metadata__": {"x": 1}})", 0), {"__metadata__", "number"});
  ExpectRefused(File(R"({"__metadata__": []})", 0), {"__metadata__", "array"});
}

TEST_CASE("safetensors: begin > end", "[safetensors]") {
  ExpectRefused(R"({"dtype": "U8", "shape": [1], "data_offsets": [2, 1]})", 2,
                {"begin is behind end", "[2, 1]"});
}

TEST_CASE("safetensors: length is not shape × dtype", "[safetensors]") {
  ExpectRefused(R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]})", 8,
                {"does not match", "found 8 bytes", "allowed 12"});
  ExpectRefused(R"({"dtype": "F32", "shape": [4611686018427387905], "data_offsets": [0, 4]})", 4,
                {"overflows 64 bits"});
  ExpectRefused(R"({"dtype": "U8", "shape": [4294967296, 4294967297], "data_offsets": [0, 4]})", 4,
                {"overflows 64 bits"});
}

TEST_CASE("safetensors: data past the end of the file", "[safetensors]") {
  ExpectRefused(R"({"dtype": "U8", "shape": [9], "data_offsets": [0, 9]})", 8,
                {"past the end", "found 9", "at most 8"});
  ExpectRefused(R"({"dtype": "U8", "shape": [1], "data_offsets": [0, 18446744073709551616]})", 8,
                {"data_offsets", "not an unsigned integer"});
}

TEST_CASE("safetensors: offsets with holes, overlaps, trailing bytes", "[safetensors]") {
  const auto two = [](int begin, int end) {
    return R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
               "b": {"dtype": "U8", "shape": [4], "data_offsets": [)" +
           std::to_string(begin) + ", " + std::to_string(end) + "]}}";
  };
  CHECK_NOTHROW(SafetensorsFile::FromMemory(File(two(4, 8), 8), "test.st"));
  ExpectRefused(File(two(5, 9), 9), {"hole", "\"b\""});
  ExpectRefused(File(two(3, 7), 7), {"overlaps", "\"b\""});
  ExpectRefused(File(two(0, 4), 4), {"overlaps", "\"b\""});
  ExpectRefused(File(two(4, 8), 9), {"1 bytes behind the last tensor"});
  ExpectRefused(File("{}", 1), {"1 bytes behind the last tensor"});
  ExpectRefused(R"({"dtype": "U8", "shape": [4], "data_offsets": [4, 8]})", 8, {"hole"});
}

TEST_CASE("safetensors: file cut at every 1/16 of its length", "[safetensors]") {
  const Bytes whole =
      File(R"({"a": {"dtype": "F32", "shape": [50], "data_offsets": [0, 200]}})", 200);
  for (size_t i = 0; i < 16; ++i) {
    const size_t length = whole.size() * i / 16;
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    ExpectRefused(part, {});
  }
}

TEST_CASE("safetensors: what transformers wrote can be read", "[safetensors]") {
  const std::string folder = SPARK_TEST_DATA "/models/llama/";
  const SafetensorsFile file = SafetensorsFile::Open(folder + "expected.safetensors");
  CHECK(file.ReadInts("press.context") == std::vector<int64_t>{192});
  CHECK(file.Get("logits").shape == std::vector<uint64_t>{72, 320});
}

}  // namespace safetensors_test
}  // namespace spark
