#include "io/gguf_metadata.h"

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <string>

#include "io/gguf.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_writer.h"

namespace spark {
namespace gguf_metadata_test {

using test::Bytes;
using test::ExpectError;
using test::GgufWriter;

// A pair of each kind.
GgufWriter SmallFile() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetU32("llama.block_count", 2);
  writer.SetF32("llama.eps", 0.5f);
  writer.SetBool("flag", true);
  writer.SetStrings("tokens", {"<s>", "", "a", "ü"});
  writer.SetInts("types", {1, -2, 3});
  writer.SetFloats("scores", {0.25f, -1.0f});
  return writer;
}

GgufFile Load(const Bytes& bytes) { return GgufFile::FromMemory(bytes, "test.gguf"); }
GgufFile Load(const GgufWriter& writer) { return Load(writer.ToBytes()); }

void ExpectRefused(const GgufWriter& writer, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { Load(writer); }, parts);
  ExpectError([&] { Load(writer); }, {"test.gguf: offset "});
}

TEST_CASE("gguf: integers of every type are read, within the asked range", "[gguf]") {
  GgufWriter writer;
  writer.SetScalar<uint8_t>("u8", GgufType::kU8, 200);
  writer.SetScalar<int8_t>("i8", GgufType::kI8, -1);
  writer.SetScalar<uint16_t>("u16", GgufType::kU16, 60000);
  writer.SetScalar<int16_t>("i16", GgufType::kI16, 7);
  writer.SetScalar<int32_t>("i32", GgufType::kI32, 8);
  writer.SetScalar<uint64_t>("u64", GgufType::kU64, UINT64_MAX);
  writer.SetScalar<int64_t>("i64", GgufType::kI64, INT64_MIN);
  const Bytes bytes = writer.ToBytes();
  const GgufFile file = Load(bytes);
  const GgufMetadata& metadata = file.metadata();
  CHECK(metadata.GetUint("u8") == 200);
  CHECK(metadata.GetUint("u16") == 60000);
  CHECK(metadata.GetUint("i16") == 7);
  CHECK(metadata.GetUint("i32", 8, 8) == 8);
  CHECK(metadata.GetUint("u64") == UINT64_MAX);
  ExpectError([&] { metadata.GetUint("i8"); }, {"test.gguf: offset ", "i8", "found -1"});
  ExpectError([&] { metadata.GetUint("i64"); }, {"found -9223372036854775808"});
  ExpectError([&] { metadata.GetUint("u8", 1, 199); }, {"u8", "found 200", "allowed 1 to 199"});
  ExpectError([&] { metadata.GetUint("i32", 9); }, {"found 8", "at least 9"});
}

TEST_CASE("gguf: values of the wrong type, missing and non-finite values are refused", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.SetF32("nan", std::numeric_limits<float>::quiet_NaN());
  writer.SetScalar("huge", GgufType::kF64, 1e300);
  writer.SetScalar("double", GgufType::kF64, 1e-5);
  const Bytes bytes = writer.ToBytes();
  const GgufFile file = Load(bytes);
  const GgufMetadata& metadata = file.metadata();
  CHECK(metadata.GetFloat("double") == 1e-5f);
  ExpectError([&] { metadata.GetFloat("nan"); }, {"nan", "a finite number"});
  ExpectError([&] { metadata.GetFloat("huge"); }, {"huge", "a finite number"});
  ExpectError([&] { metadata.GetUint("llama.eps"); }, {"found f32", "allowed an integer"});
  ExpectError([&] { metadata.GetUint("types"); }, {"found an array of 3 × i32"});
  ExpectError([&] { metadata.GetFloat("llama.block_count"); }, {"found u32", "a float"});
  ExpectError([&] { metadata.GetString("flag"); }, {"found bool", "allowed a string"});
  ExpectError([&] { metadata.FindBool("tokens"); }, {"found an array of 4 × string"});
  ExpectError([&] { metadata.FindStrings("types"); }, {"allowed an array of strings"});
  ExpectError([&] { metadata.FindInts("scores"); }, {"allowed an array of integers"});
  ExpectError([&] { metadata.FindFloats("types"); }, {"allowed an array of floats"});
  ExpectError([&] { metadata.FindCount("flag"); }, {"allowed an array"});
  ExpectError([&] { metadata.GetUint("absent"); }, {"absent", "missing"});
  ExpectError([&] { metadata.GetFloat("absent"); }, {"absent", "missing"});
  ExpectError([&] { metadata.GetString("absent"); }, {"absent", "missing"});
}

TEST_CASE("gguf: unknown value type", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.pairs[1].type = 13;
  ExpectRefused(writer, {"llama.block_count", "found 13", "allowed 0 to 12"});
  writer = SmallFile();
  writer.Set("array", GgufType::kArray, Bytes(12, std::byte{0xFF}));
  ExpectRefused(writer, {"array", "unknown value type"});
}

TEST_CASE("gguf: nested arrays", "[gguf]") {
  GgufWriter writer = SmallFile();
  Bytes value;
  test::Put(value, static_cast<uint32_t>(GgufType::kArray));
  test::Put(value, uint64_t{1});
  value.resize(value.size() + 24);
  writer.Set("nested", GgufType::kArray, value);
  ExpectRefused(writer, {"nested", "arrays of arrays"});
}

TEST_CASE("gguf: string past the end", "[gguf]") {
  for (const uint64_t length : {uint64_t{5000}, UINT64_MAX}) {
    GgufWriter writer = SmallFile();
    Bytes value;
    test::Put(value, length);
    writer.Set("text", GgufType::kString, value);
    ExpectRefused(writer, {"text", "past the end"});
  }
}

TEST_CASE("gguf: boolean that is neither 0 nor 1", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.SetScalar<uint8_t>("flag", GgufType::kBool, 2);
  ExpectRefused(writer, {"flag", "found 2", "0 or 1"});
}

TEST_CASE("gguf: key empty, duplicate, with NUL, too long", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.SetU32("", 1);
  ExpectRefused(writer, {"metadata key", "empty"});
  writer = SmallFile();
  writer.pairs.push_back(writer.pairs[1]);
  ExpectRefused(writer, {"duplicate key", "llama.block_count"});
  writer = SmallFile();
  writer.SetU32(std::string_view("a\0b", 3), 1);
  ExpectRefused(writer, {"metadata key", "zero byte"});
  writer = SmallFile();
  writer.SetU32(std::string(65536, 'k'), 1);
  ExpectRefused(writer, {"metadata key", "too long", "65536"});
}

}  // namespace gguf_metadata_test
}  // namespace spark
