// Split GGUF files: what makes a set of parts whole, and every way in which it is not.
#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/gguf.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace gguf_split_test {

namespace fs = std::filesystem;
using test::ExpectError;
using test::GgufWriter;
using test::TempDir;

// Part i holds the tensor "t<i>" = {i, i + 1, …}, i + 2 numbers; the first part has the metadata.
std::vector<GgufWriter> Parts(uint32_t count) {
  std::vector<GgufWriter> parts(count);
  for (uint32_t i = 0; i < count; ++i) {
    parts[i].SetScalar("split.no", GgufType::kU16, static_cast<uint16_t>(i));
    parts[i].SetScalar("split.count", GgufType::kU16, static_cast<uint16_t>(count));
    parts[i].SetI32("split.tensors.count", static_cast<int32_t>(count));
    std::vector<float> values(i + 2);
    for (size_t j = 0; j < values.size(); ++j) values[j] = static_cast<float>(i + j);
    parts[i].AddFloats(fmt::format("t{}", i), {values.size()}, values);
  }
  parts[0].SetString("general.architecture", "llama");
  return parts;
}

std::string PartName(size_t i, size_t count) {
  return fmt::format("m-{:05}-of-{:05}.gguf", i + 1, count);
}

// The path of part `open` of parts that are all written to `dir`.
std::string Write(const TempDir& dir, const std::vector<GgufWriter>& parts, size_t open = 0) {
  for (size_t i = 0; i < parts.size(); ++i) {
    dir.Write(PartName(i, parts.size()), parts[i].ToBytes());
  }
  return dir / PartName(open, parts.size());
}

TEST_CASE("split gguf: any part opens the whole", "[gguf][split]") {
  for (const uint32_t count : {2u, 3u, 11u}) {
    const TempDir dir;
    const auto parts = Parts(count);
    uint64_t bytes = 0;
    for (const GgufWriter& part : parts) bytes += part.ToBytes().size();
    for (const size_t open : {size_t{0}, size_t{1}, size_t{count - 1}}) {
      GgufFile opened = GgufFile::Open(Write(dir, parts, open));
      const GgufFile file = std::move(opened);
      CHECK(file.name() == dir / PartName(0, count));
      CHECK(file.metadata().GetString("general.architecture") == "llama");
      CHECK(file.file_bytes() == bytes);
      REQUIRE(file.tensors().size() == count);
      for (uint32_t i = 0; i < count; ++i) {
        const StoredTensor* tensor = file.Find(fmt::format("t{}", i));
        REQUIRE(tensor == &file.tensors()[i]);
        float last = 0;
        std::memcpy(&last, tensor->data + tensor->bytes - 4, 4);
        CHECK(last == static_cast<float>(2 * i + 1));
      }
    }
  }
}

TEST_CASE("split gguf: a file that says it is the only part is whole", "[gguf][split]") {
  const TempDir dir;
  for (const uint16_t count : {uint16_t{0}, uint16_t{1}}) {
    GgufWriter writer = Parts(1)[0];
    writer.SetScalar("split.count", GgufType::kU16, count);
    CHECK(GgufFile::Open(dir.Write("any.gguf", writer.ToBytes())).tensors().size() == 1);
  }
  // A name alone makes no part: some whole files were renamed like one.
  GgufWriter writer;
  writer.AddZeros("t", DType::kF32, {4});
  CHECK_NOTHROW(GgufFile::Open(dir.Write("x-00001-of-00009.gguf", writer.ToBytes())));
}

TEST_CASE("split gguf: a missing part is named", "[gguf][split]") {
  for (const size_t missing : {size_t{0}, size_t{2}}) {
    const TempDir dir;
    const std::string path = Write(dir, Parts(3), 1);
    fs::remove(dir / PartName(missing, 3));
    ExpectError([&] { GgufFile::Open(path); }, {PartName(missing, 3), "is missing"});
  }
}

TEST_CASE("split gguf: a part under another name", "[gguf][split]") {
  const TempDir dir;
  const auto bytes = Parts(3)[0].ToBytes();
  for (const char* name :
       {"m.gguf", "m-1-of-3.gguf", "m-0000a-of-00003.gguf", "m_00001-of-00003.gguf",
        "m-00001-of-00003.ggu", "m-00001-of-00003.gguf.1"}) {
    CAPTURE(name);
    ExpectError([&] { GgufFile::Open(dir.Write(name, bytes)); },
                {name, "split.count", "part of a split file", "00001-of-00002.gguf"});
  }
  for (const char* name : {"m-00002-of-00003.gguf", "m-00000-of-00003.gguf"}) {
    ExpectError([&] { GgufFile::Open(dir.Write(name, bytes)); },
                {name, "split.no", "found 0", "does not fit the name"});
  }
  ExpectError([&] { GgufFile::Open(dir.Write("m-00001-of-00004.gguf", bytes)); },
              {"split.count", "found 3", "allowed 4"});
}

TEST_CASE("split gguf: parts that do not belong together", "[gguf][split]") {
  const auto refused = [](const std::function<void(std::vector<GgufWriter>&)>& change,
                          std::initializer_list<std::string_view> words) {
    const TempDir dir;
    auto parts = Parts(3);
    change(parts);
    ExpectError([&] { GgufFile::Open(Write(dir, parts)); }, words);
  };
  refused([](auto& parts) { std::swap(parts[1], parts[2]); },
          {PartName(1, 3), "split.no", "found 2, allowed 1"});
  refused([](auto& parts) { parts[2].SetU32("split.count", 4); },
          {PartName(2, 3), "split.count", "found 4, allowed 3"});
  refused([](auto& parts) { parts[1].Remove("split.no"); },
          {PartName(1, 3), "split.no", "missing"});
  refused([](auto& parts) { parts[1].Remove("split.count"); }, {PartName(1, 3), "split.count"});
  refused([](auto& parts) { parts[2].SetI32("split.tensors.count", 7); },
          {PartName(2, 3), "split.tensors.count", "found 7, allowed 3"});
  refused([](auto& parts) { parts[0].Remove("split.tensors.count"); },
          {PartName(0, 3), "split.tensors.count", "missing"});
  refused([](auto& parts) { parts[2].tensors[0].name = "t0"; },
          {PartName(2, 3), "\"t0\"", "earlier part"});
  refused([](auto& parts) { parts[2].tensors.clear(); },
          {PartName(0, 3), "split.tensors.count", "found 3, and 2"});
  refused([](auto& parts) { parts[0].SetU32("split.count", 70000); }, {"split.count", "65535"});
  refused([](auto& parts) { parts[0].SetString("split.count", "3"); }, {"split.count", "wrong"});
  refused([](auto& parts) { parts[1].magic = "GGML"; }, {PartName(1, 3), "magic"});
}

TEST_CASE("split gguf: bytes in memory must be whole", "[gguf][split]") {
  const auto bytes = Parts(2)[0].ToBytes();
  ExpectError([&] { GgufFile::FromMemory(bytes, "embedded"); }, {"embedded", "split.count"});
}

}  // namespace gguf_split_test
}  // namespace spark
