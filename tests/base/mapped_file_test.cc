#include "base/mapped_file.h"

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <utility>

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace mapped_file_test {

using test::ExpectError;

constexpr MapMode kModes[] = {MapMode::kMmap, MapMode::kRead};

TEST_CASE("mapped file: holds the bytes of the file, also when moved", "[mapped_file]") {
  const test::TempDir dir;
  const std::string path = dir.Write("a", "some bytes");
  for (const MapMode mode : kModes) {
    MappedFile file = MappedFile::Open(path, mode);
    const std::byte* data = file.bytes().data();
    MappedFile moved = std::move(file);
    REQUIRE(moved.bytes().size() == 10);
    CHECK(moved.bytes().data() == data);
    CHECK(std::memcmp(data, "some bytes", 10) == 0);
    CHECK(moved.path() == path);
    moved = MappedFile::Open(dir.Write("b", "x"), mode);
    CHECK(moved.bytes().size() == 1);
  }
}

TEST_CASE("mapped file: read into memory, it does not follow later changes", "[mapped_file]") {
  const test::TempDir dir;
  const std::string path = dir.Write("a", "before");
  const MappedFile file = MappedFile::Open(path, MapMode::kRead);
  std::filesystem::resize_file(path, 0);
  CHECK(std::memcmp(file.bytes().data(), "before", 6) == 0);
}

TEST_CASE("mapped file: what cannot be used is refused by name and reason", "[mapped_file]") {
  const test::TempDir dir;
  for (const MapMode mode : kModes) {
    ExpectError([&] { MappedFile::Open(dir / "none", mode); }, {dir / "none", "No such file"});
    ExpectError([&] { MappedFile::Open(dir.path().string(), mode); },
                {dir.path().string(), "folder"});
    ExpectError([&] { MappedFile::Open(dir.Write("e", ""), mode); }, {dir / "e", "empty"});
    ExpectError([&] { MappedFile::Open("/dev/null", mode); }, {"/dev/null", "not a regular file"});
    ExpectError([&] { MappedFile::Open(dir.Write("f", "x") + "/g", mode); }, {"Not a directory"});
    ExpectError([&] { MappedFile::Open("", mode); }, {"cannot open"});
  }
}

}  // namespace mapped_file_test
}  // namespace spark
