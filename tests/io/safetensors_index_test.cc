#include "io/safetensors_index.h"

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace safetensors_index_test {

namespace fs = std::filesystem;
using test::ExpectError;
using test::TempDir;

void WriteShard(const std::string& path, std::initializer_list<const char*> names) {
  std::vector<SafetensorsWriter::Entry> layout;
  for (const char* name : names) layout.push_back({name, SafetensorsType::kU8, {1}});
  SafetensorsWriter writer(path, layout);
  for (size_t i = 0; i < names.size(); ++i) writer.Append(std::vector<std::byte>(1));
  writer.Finish();
}

std::string WriteIndex(const TempDir& dir, const std::string& map) {
  return dir.Write("model.safetensors.index.json",
                   R"({"metadata": {}, "weight_map": )" + map + "}");
}

void ExpectRefused(const std::string& index, std::initializer_list<std::string_view> words) {
  ExpectError([&] { SafetensorsIndex::Read(index).OpenShards(MapMode::kMmap); }, words);
}

TEST_CASE("safetensors index: opens what it names", "[safetensors][index]") {
  const TempDir dir;
  WriteShard(dir / "b.safetensors", {"x"});
  WriteShard(dir / "a.safetensors", {"y", "z"});
  WriteShard(dir / "unused.safetensors", {"x"});
  const std::string index =
      WriteIndex(dir, R"({"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"})");
  for (const MapMode mode : {MapMode::kMmap, MapMode::kRead}) {
    const auto files = SafetensorsIndex::Read(index).OpenShards(mode);
    REQUIRE(files.size() == 2);
    CHECK(files[0].name() == dir / "a.safetensors");
    CHECK(files[0].Find("z") != nullptr);
    CHECK(files[1].Find("x") != nullptr);
  }
}

TEST_CASE("safetensors index: tensors and files must fit each other", "[safetensors][index]") {
  const TempDir dir;
  WriteShard(dir / "a.safetensors", {"x"});
  WriteShard(dir / "b.safetensors", {"y", "z"});
  const std::string all = R"({"x": "a.safetensors", "y": "b.safetensors", "z": "b.safetensors"})";
  CHECK(SafetensorsIndex::Read(WriteIndex(dir, all)).OpenShards(MapMode::kMmap).size() == 2);
  ExpectRefused(WriteIndex(dir, R"({"x": "a.safetensors", "y": "b.safetensors"})"),
                {"b.safetensors", "\"z\"", "not in the index"});
  ExpectRefused(
      WriteIndex(dir, R"({"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"})"),
      {"b.safetensors", "\"z\"", "in another file by the index", "a.safetensors"});
  ExpectRefused(WriteIndex(dir, R"({"w": "a.safetensors", "x": "a.safetensors"})"),
                {"a.safetensors", "\"w\"", "missing"});
  ExpectRefused(WriteIndex(dir, R"({"x": "a.safetensors", "y": "c.safetensors"})"),
                {"c.safetensors", "missing", "index.json"});
  ExpectRefused(WriteIndex(dir, R"({"x": "a.safetensors", "x": "b.safetensors"})"),
                {"index.json", "duplicate key", "\"x\""});
  const std::string index = WriteIndex(dir, all);
  WriteShard(dir / "b.safetensors", {"x", "y", "z"});  // "x" is in both
  ExpectRefused(index, {"b.safetensors", "\"x\"", "in another file", "a.safetensors"});
  dir.Write("b.safetensors", "nonsense");
  ExpectRefused(index, {"b.safetensors", "header"});
}

TEST_CASE("safetensors index: names stay in the folder", "[safetensors][index]") {
  const TempDir dir;
  fs::create_directory(dir / "sub");
  WriteShard(dir / "a.safetensors", {"x"});
  WriteShard(dir / "sub/a.safetensors", {"x"});
  for (const std::string name :
       {"../a.safetensors", "sub/a.safetensors", "./a.safetensors", "sub\\\\a.safetensors",
        "passwd", "a.safetensors.", "", "a.safetensors\\u0000b.safetensors"}) {
    CAPTURE(name);
    ExpectRefused(WriteIndex(dir, R"({"x": ")" + name + "\"}"), {"weight_map", "\"x\"", "beside"});
  }
  ExpectRefused(WriteIndex(dir, R"({"x": ")" + (dir / "a.safetensors") + "\"}"), {"weight_map"});
  for (const char* bad : {R"({"x": 3})", R"({"x": null})", "{}", "[]", "3"}) {
    ExpectRefused(WriteIndex(dir, bad), {"weight_map"});
  }
  ExpectRefused(dir.Write("none.index.json", "{}"), {"none.index.json", "weight_map"});
  ExpectRefused(dir.Write("list.index.json", "[]"), {"list.index.json", "weight_map"});

  // A link may lead out of the folder: the Hugging Face cache is made of those.
  fs::create_symlink(dir / "a.safetensors", dir / "sub/link.safetensors");
  const std::string index =
      dir.Write("sub/i.index.json", R"({"weight_map": {"x": "link.safetensors"}})");
  CHECK(SafetensorsIndex::Read(index).OpenShards(MapMode::kMmap).size() == 1);
}

}  // namespace safetensors_index_test
}  // namespace spark
