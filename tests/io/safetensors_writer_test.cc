#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <numeric>
#include <string>

#include "io/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace safetensors_writer_test {

namespace fs = std::filesystem;
using test::ExpectError;
using test::TempDir;

const std::vector<SafetensorsWriter::Entry> kLayout = {
    {"ids", SafetensorsType::kI32, {3}},
    {"logits", SafetensorsType::kF32, {3, 5}},
};

size_t FilesIn(const TempDir& dir) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

void WriteAll(SafetensorsWriter& writer) {
  const std::vector<int32_t> ids = {7, 8, 9};
  writer.Append(std::as_bytes(std::span(ids)));
  std::vector<float> row(5);
  std::iota(row.begin(), row.end(), 0.5f);
  for (int i = 0; i < 3; ++i) writer.Append(std::as_bytes(std::span(row)));
}

TEST_CASE("safetensors writer: rows given one by one are read back", "[safetensors]") {
  const TempDir dir;
  const std::string path = dir / "out.safetensors";
  SafetensorsWriter writer(path, kLayout);
  WriteAll(writer);
  CHECK_FALSE(fs::exists(path));
  writer.Finish();
  CHECK(FilesIn(dir) == 1);
  const SafetensorsFile file = SafetensorsFile::Open(path);
  CHECK(file.ReadInts("ids") == std::vector<int64_t>{7, 8, 9});
  CHECK(file.Get("logits").shape == std::vector<uint64_t>{3, 5});
  CHECK(file.ReadFloats("logits")[14] == 4.5f);
}

TEST_CASE("safetensors writer: metadata, bytes and a checksum of all that came before",
          "[safetensors]") {
  const TempDir dir;
  const std::string path = dir / "out.safetensors";
  const SafetensorsMetadata metadata = {{"name", "a \"b\"\n"}, {"version", "1"}};
  SafetensorsWriter writer(
      path, {{"bytes", SafetensorsType::kU8, {3}}, {"checksum", SafetensorsType::kU8, {8}}},
      metadata);
  const std::vector<uint8_t> bytes = {0, 128, 255};
  writer.Append(std::as_bytes(std::span(bytes)));
  const uint64_t checksum = writer.checksum();
  writer.Append(std::as_bytes(std::span(&checksum, 1)));
  writer.Finish();
  const SafetensorsFile file = SafetensorsFile::Open(path);
  CHECK(file.metadata() == metadata);
  CHECK(file.tensors().size() == 2);
  CHECK(file.ReadInts("bytes") == std::vector<int64_t>{0, 128, 255});
  Fnv1a hash;
  hash.Add(file.bytes().first(file.bytes().size() - 8));
  CHECK(hash.value() == checksum);
}

TEST_CASE("safetensors writer: nothing is left when it is not finished", "[safetensors]") {
  const TempDir dir;
  const std::string path = dir.Write("out.safetensors", "what was there");
  {
    SafetensorsWriter writer(path, kLayout);
    WriteAll(writer);
  }
  CHECK(FilesIn(dir) == 1);
  CHECK(test::ReadText(path) == "what was there");
  {
    SafetensorsWriter writer(path, kLayout);
    WriteAll(writer);
    writer.Finish();
  }
  CHECK(FilesIn(dir) == 1);
  CHECK(SafetensorsFile::Open(path).tensors().size() == 2);
}

TEST_CASE("safetensors writer: too little and too much data are errors", "[safetensors]") {
  const TempDir dir;
  const std::string path = dir / "out.safetensors";
  SafetensorsWriter writer(path, kLayout);
  ExpectError([&] { writer.Finish(); }, {path, "72 bytes"});
  WriteAll(writer);
  ExpectError([&] { writer.Append(std::vector<std::byte>(1)); }, {path, "more data"});
}

TEST_CASE("safetensors writer: no tensors, empty tensors, sizes that overflow", "[safetensors]") {
  const TempDir dir;
  const std::string path = dir / "out.safetensors";
  SafetensorsWriter(path, {}).Finish();
  CHECK(SafetensorsFile::Open(path).tensors().empty());
  SafetensorsWriter(path, {{"a", SafetensorsType::kF32, {0, 5}}}).Finish();
  CHECK(SafetensorsFile::Open(path).ReadFloats("a").empty());
  ExpectError(
      [&] {
        SafetensorsWriter(path, {{"a", SafetensorsType::kI64, {uint64_t{1} << 61}}});
      },
      {path, "overflows"});
}

TEST_CASE("safetensors writer: a path that cannot be written", "[safetensors]") {
  const TempDir dir;
  ExpectError([&] { SafetensorsWriter(dir / "none/out", kLayout); },
              {dir / "none/out", "cannot create", "No such file or directory"});
  ExpectError([&] { SafetensorsWriter(dir.path().string(), kLayout); }, {"is a folder"});
}

TEST_CASE("safetensors writer: a full disk is one clear line", "[safetensors]") {
  if (!fs::exists("/dev/full")) SKIP("this system has no /dev/full");
  const auto write = [](size_t rows) {
    SafetensorsWriter writer("/dev/full", {{"logits", SafetensorsType::kF32, {rows, 1024}}});
    const std::vector<float> row(1024);
    for (size_t i = 0; i < rows; ++i) writer.Append(std::as_bytes(std::span(row)));
    writer.Finish();
  };
  ExpectError([&] { write(1); }, {"/dev/full", "No space left on device"});
  ExpectError([&] { write(1000); }, {"/dev/full", "No space left on device"});
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("safetensors writer: /dev/null takes everything and stays a device", "[safetensors]") {
  SafetensorsWriter writer("/dev/null", kLayout);
  WriteAll(writer);
  writer.Finish();
  CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("safetensors writer: a link's target is replaced, not the link", "[safetensors]") {
  const TempDir dir;
  const std::string target = dir.Write("target", "old");
  fs::create_symlink(target, dir / "link");
  SafetensorsWriter writer(dir / "link", kLayout);
  WriteAll(writer);
  writer.Finish();
  CHECK(fs::is_symlink(dir / "link"));
  CHECK(SafetensorsFile::Open(target).tensors().size() == 2);
}

}  // namespace safetensors_writer_test
}  // namespace spark
