#include "io/gguf.h"

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <string>

#include "tests/support/expect_error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace gguf_test {

using test::Bytes;
using test::ExpectError;
using test::GgufWriter;

// Two tensors and a pair of each kind.
GgufWriter SmallFile() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetU32("llama.block_count", 2);
  writer.SetF32("llama.eps", 0.5f);
  writer.SetBool("flag", true);
  writer.SetStrings("tokens", {"<s>", "", "a b", "ü"});
  writer.SetInts("types", {1, -2, 3});
  writer.SetFloats("scores", {0.25f, -1.0f});
  const float values[] = {1, 2, 3, 4, 5, 6};
  writer.AddFloats("matrix", {2, 3}, values);
  writer.AddZeros("quantised", DType::kQ4_1, {4, 64});
  return writer;
}

GgufFile Load(const Bytes& bytes) { return GgufFile::FromMemory(bytes, "test.gguf"); }
GgufFile Load(const GgufWriter& writer) { return Load(writer.ToBytes()); }

void ExpectRefused(const GgufWriter& writer, std::initializer_list<std::string_view> parts) {
  ExpectError([&] { Load(writer); }, parts);
  ExpectError([&] { Load(writer); }, {"test.gguf: offset "});
}

TEST_CASE("gguf: metadata and tensors come back as they were written", "[gguf]") {
  for (const uint32_t version : {2u, 3u}) {
    GgufWriter writer = SmallFile();
    writer.version = version;
    const Bytes bytes = writer.ToBytes();
    const GgufFile file = Load(bytes);
    CHECK(file.version() == version);
    CHECK(file.file_bytes() == bytes.size());

    const GgufMetadata& metadata = file.metadata();
    CHECK(metadata.GetString("general.architecture") == "llama");
    CHECK(metadata.GetUint("llama.block_count") == 2);
    CHECK(metadata.GetFloat("llama.eps") == 0.5f);
    CHECK(metadata.FindBool("flag") == true);
    CHECK(metadata.FindCount("tokens") == 4);
    CHECK(metadata.FindStrings("tokens") == std::vector<std::string_view>{"<s>", "", "a b", "ü"});
    CHECK(metadata.FindInts("types") == std::vector<int64_t>{1, -2, 3});
    CHECK(metadata.FindFloats("scores") == std::vector<float>{0.25f, -1.0f});
    CHECK_FALSE(metadata.Has("absent"));
    CHECK_FALSE(metadata.FindUint("absent"));

    REQUIRE(file.tensors().size() == 2);
    const StoredTensor* matrix = file.Find("matrix");
    REQUIRE(matrix != nullptr);
    CHECK(matrix->type == DType::kF32);
    CHECK(matrix->shape == std::vector<uint64_t>{2, 3});
    CHECK(matrix->bytes == 24);
    float last = 0;
    std::memcpy(&last, matrix->data + 20, 4);
    CHECK(last == 6.0f);
    CHECK(file.Find("quantised")->bytes == 4 * 2 * 20);
    CHECK(file.Find("absent") == nullptr);
  }
}

TEST_CASE("gguf: opens from a path, mapped or read, and survives a move", "[gguf]") {
  const test::TempDir dir;
  const std::string path = dir.Write("a.gguf", SmallFile().ToBytes());
  for (const MapMode mode : {MapMode::kMmap, MapMode::kRead}) {
    GgufFile file = GgufFile::Open(path, mode);
    const StoredTensor* matrix = file.Find("matrix");
    const GgufFile moved = std::move(file);
    CHECK(moved.Find("matrix") == matrix);
    CHECK(moved.metadata().GetString("general.architecture") == "llama");
    CHECK(moved.name() == path);
  }
}

TEST_CASE("gguf: empty file", "[gguf]") {
  const test::TempDir dir;
  const std::string path = dir.Write("empty.gguf", "");
  ExpectError([&] { GgufFile::Open(path); }, {path, "empty"});
  ExpectError([&] { Load(Bytes{}); }, {"test.gguf", "empty"});
}

TEST_CASE("gguf: bad magic", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.magic = "GGML";
  ExpectRefused(writer, {"offset 0", "magic", "found 47 47 4d 4c", "allowed 47 47 55 46"});
}

TEST_CASE("gguf: version 0, 1, 99 and byte-swapped", "[gguf]") {
  GgufWriter writer = SmallFile();
  for (const uint32_t version : {0u, 1u, 99u}) {
    writer.version = version;
    ExpectRefused(writer, {"offset 4", "version", "found " + std::to_string(version), "2 or 3"});
  }
  for (const uint32_t version : {0x02000000u, 0x03000000u}) {
    writer.version = version;
    ExpectRefused(writer, {"version", "big-endian"});
  }
}

TEST_CASE("gguf: counts larger than the file can hold", "[gguf]") {
  for (const uint64_t count : {uint64_t{1000}, uint64_t{1} << 40, UINT64_MAX}) {
    GgufWriter tensors = SmallFile();
    tensors.tensor_count = count;
    ExpectRefused(tensors, {"tensor count", "found " + std::to_string(count)});
    GgufWriter metadata = SmallFile();
    metadata.metadata_count = count;
    ExpectRefused(metadata, {"metadata count", "found " + std::to_string(count)});
    GgufWriter array = SmallFile();
    Bytes value;
    test::Put(value, static_cast<uint32_t>(GgufType::kU64));
    test::Put(value, count);
    array.Set("array", GgufType::kArray, value);
    ExpectRefused(array, {"array", "longer than the file"});
  }
}

TEST_CASE("gguf: counts that are off by one", "[gguf]") {
  for (const uint64_t off : {uint64_t{1}, UINT64_MAX}) {
    GgufWriter writer = SmallFile();
    writer.metadata_count = writer.pairs.size() + off;
    ExpectRefused(writer, {});
  }
}

TEST_CASE("gguf: alignment 0, not a power of two, too large, of the wrong type", "[gguf]") {
  for (const uint32_t alignment : {0u, 3u, 48u, UINT32_MAX}) {
    GgufWriter writer = SmallFile();
    writer.SetU32("general.alignment", alignment);
    ExpectRefused(writer, {"general.alignment", "a power of two"});
  }
  GgufWriter writer = SmallFile();
  writer.SetU32("general.alignment", 1u << 31);
  ExpectRefused(writer, {"padding", "too early"});
  writer.SetString("general.alignment", "32");
  ExpectRefused(writer, {"general.alignment", "found string"});
}

TEST_CASE("gguf: other alignments are followed", "[gguf]") {
  for (const uint32_t alignment : {1u, 8u, 64u, 4096u}) {
    GgufWriter writer = SmallFile();
    writer.alignment = alignment;
    writer.SetU32("general.alignment", alignment);
    const Bytes bytes = writer.ToBytes();
    const GgufFile file = Load(bytes);
    float first = 0;
    std::memcpy(&first, file.Find("matrix")->data, 4);
    CHECK(first == 1.0f);
  }
}

TEST_CASE("gguf: tensor name empty, duplicate, with NUL", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[0].name = "";
  ExpectRefused(writer, {"tensor name", "empty"});
  writer.tensors[0].name = writer.tensors[1].name;
  ExpectRefused(writer, {"duplicate tensor", "quantised"});
  writer.tensors[0].name = std::string("a\0b", 3);
  ExpectRefused(writer, {"tensor name", "zero byte"});
}

TEST_CASE("gguf: 0 or 5 dimensions, and a dimension of zero", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[0].shape = {};
  ExpectRefused(writer, {"matrix", "found 0", "1 to 4"});
  writer.tensors[0].shape = {1, 1, 1, 2, 3};
  ExpectRefused(writer, {"matrix", "found 5", "1 to 4"});
  writer.tensors[0].dims = UINT32_MAX;
  ExpectRefused(writer, {"matrix", "found 4294967295"});
  writer.tensors[0].dims.reset();
  writer.tensors[0].shape = {2, 0};
  ExpectRefused(writer, {"matrix", "zero"});
}

TEST_CASE("gguf: products and sums that overflow 64 bits", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[0].shape = {(uint64_t{1} << 42) + 1, uint64_t{1} << 22};
  ExpectRefused(writer, {"matrix", "too many elements"});
  writer.tensors[0].shape = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
  ExpectRefused(writer, {"matrix", "too many elements"});
  writer.tensors[0].shape = {(uint64_t{1} << 42) + 1, uint64_t{1} << 20};  // × 4 bytes overflows
  ExpectRefused(writer, {"matrix", "overflows 64 bits"});
  writer = SmallFile();
  writer.tensors[1].offset = UINT64_MAX - 31;  // + 160 bytes overflows
  ExpectRefused(writer, {"quantised", "past the end"});
}

TEST_CASE("gguf: tensor type that is unknown or not supported", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[0].type = 21;
  ExpectRefused(writer,
                {"tensor type is not supported", "matrix", "found IQ3_S (type 21)",
                 "allowed F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, "
                 "Q8_K, IQ4_NL, IQ4_XS, BF16"});
  writer.tensors[0].type = 4;
  ExpectRefused(writer, {"matrix", "found type 4"});
  writer.tensors[0].type = UINT32_MAX;
  ExpectRefused(writer, {"matrix", "found type 4294967295"});
}

TEST_CASE("gguf: every supported type has its number", "[gguf]") {
  for (const DType type : kAllDTypes) CHECK(FromGgmlType(ToGgmlType(type)) == type);
}

TEST_CASE("gguf: row not a multiple of its block", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[1].shape = {4, 48};
  ExpectRefused(writer, {"quantised", "whole q4_1 blocks", "found 48", "a multiple of 32"});
  for (const DType type : kAllDTypes) {
    const size_t block = Traits(type).block_elements;
    if (block == 1) continue;
    writer.tensors[1].type = ToGgmlType(type);
    // Less than a block, and half a block more than one.
    for (const uint64_t cols : {uint64_t{1}, uint64_t{block - 1}, uint64_t{block + block / 2}}) {
      writer.tensors[1].shape = {4, cols};
      ExpectRefused(writer, {"quantised", fmt::format("whole {} blocks", Name(type)),
                             fmt::format("a multiple of {}", block)});
    }
  }
}

TEST_CASE("gguf: tensor offset unaligned, overlapping, past the end", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[1].offset = 33;
  ExpectRefused(writer, {"quantised", "not aligned", "33"});
  writer.tensors[1].offset = 0;
  ExpectRefused(writer, {"overlaps", "matrix", "quantised"});
  for (const uint64_t offset : {uint64_t{64}, uint64_t{1} << 20, uint64_t{1} << 63}) {
    writer.tensors[1].offset = offset;
    ExpectRefused(writer, {"quantised", "past the end"});
  }
}

TEST_CASE("gguf: file cut at every 1/16 of its length, and near its ends", "[gguf]") {
  const Bytes whole = SmallFile().ToBytes();
  std::vector<size_t> lengths;
  for (size_t i = 0; i < 16; ++i) lengths.push_back(whole.size() * i / 16);
  for (size_t n = 1; n < 40; ++n) lengths.push_back(n);
  lengths.push_back(whole.size() - 1);
  for (const size_t length : lengths) {
    // A copy of exactly that size, so that the address sanitizer sees a read behind it.
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    CAPTURE(length, whole.size());
    ExpectError([&] { Load(part); }, {"test.gguf: offset "});
  }
}

TEST_CASE("gguf: control characters in names do not reach the message", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors[0].name = "evil\n\x1b[2J" + std::string(5000, 'x');
  writer.tensors[0].type = 99;
  ExpectRefused(writer, {"evil\\x0a\\x1b[2J"});
}

TEST_CASE("gguf: a file without tensors is a table of metadata", "[gguf]") {
  GgufWriter writer = SmallFile();
  writer.tensors.clear();
  const Bytes bytes = writer.ToBytes();
  CHECK(Load(bytes).tensors().empty());
}

}  // namespace gguf_test
}  // namespace spark
