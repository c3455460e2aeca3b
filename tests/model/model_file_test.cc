#include "model/model_file.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_llama.h"

namespace spark {
namespace {

namespace fs = std::filesystem;
using test::Bytes;
using test::ExpectError;
using test::GgufWriter;
using test::MakeTinyLlama;
using test::TempDir;

const std::string kModels = SPARK_TEST_DATA "/models/";

TEST_CASE("model file: GGUF from a path and from memory", "[model_file]") {
  const TempDir dir;
  const Bytes bytes = MakeTinyLlama().ToBytes();
  const std::string path = dir.Write("tiny.gguf", bytes);
  for (const MapMode mode : {MapMode::kMmap, MapMode::kRead}) {
    ModelFile file = ModelFile::Open(path, mode);
    const std::byte* wq = file.weights().layers[1].wq.data;
    const ModelFile moved = std::move(file);
    CHECK(moved.weights().layers[1].wq.data == wq);
    CHECK(moved.path() == path);
    REQUIRE(moved.gguf() != nullptr);
    CHECK(moved.gguf()->metadata().GetString("general.name") == "tiny");
    CHECK(moved.config().n_layers == 2);
    CHECK(moved.file_bytes() == bytes.size());
    CHECK(moved.quantization() == "f32");
  }
  const ModelFile embedded = ModelFile::FromMemory(bytes, "embedded model");
  CHECK(embedded.path() == "embedded model");
  CHECK(embedded.gguf()->Find("output.weight") != nullptr);
  // 2 × 12 × 32, and per layer 2 × 32 + 2 × 32 × 32 + 2 × 16 × 32 + 3 × 64 × 32; the last norm.
  CHECK(embedded.parameters() == 2 * 384 + 2 * (64 + 2048 + 1024 + 6144) + 32);
  ExpectError([&] { ModelFile::FromMemory(std::span(bytes).first(100), "embedded model"); },
              {"embedded model: offset "});
}

TEST_CASE("model file: GGUF is known by its content", "[model_file]") {
  const TempDir dir;
  CHECK_NOTHROW(ModelFile::Open(dir.Write("no-extension", MakeTinyLlama().ToBytes())));
  ExpectError([&] { ModelFile::Open(dir.Write("a.gguf", "hello")); }, {"a.gguf", "magic"});
  ExpectError([&] { ModelFile::Open(dir.Write("a.txt", "hello")); }, {"a.txt", "not a model"});
  ExpectError([&] { ModelFile::Open(dir / "none"); }, {"none", "No such file"});
  ExpectError([&] { ModelFile::Open(dir.Write("e.gguf", "")); }, {"e.gguf", "empty"});
}

TEST_CASE("model file: folders and .safetensors files of transformers", "[model_file]") {
  for (const std::string name : {"llama", "llama3-rope", "llama-linear-rope", "llama-tied-bf16"}) {
    const ModelFile folder = ModelFile::Open(kModels + name);
    const ModelFile file = ModelFile::Open(kModels + name + "/model.safetensors", MapMode::kRead);
    for (const ModelFile* model : {&folder, &file}) {
      CHECK(model->config().n_layers == 3);
      CHECK(model->config().name == name);
      CHECK(model->gguf() == nullptr);
      CHECK(fs::equivalent(model->folder(), kModels + name));
      CHECK(model->weights().layers.size() == 3);
      CHECK(model->weights().layers[2].w_down.cols == 176);
      CHECK(model->file_bytes() == fs::file_size(kModels + name + "/model.safetensors"));
      CHECK_NOTHROW(model->ValidateFinite());
    }
    const Weights& weights = folder.weights();
    const bool tied = name == "llama-tied-bf16";
    CHECK(folder.quantization() == (tied ? "bf16" : "f32"));
    CHECK((weights.output.data == weights.token_embedding.data) == tied);
  }
}

TEST_CASE("model file: missing pieces of a folder", "[model_file]") {
  const TempDir dir;
  ExpectError([&] { ModelFile::Open(dir.path().string()); }, {"no config.json"});
  fs::copy(kModels + "llama/config.json", dir / "config.json");
  ExpectError([&] { ModelFile::Open(dir.path().string()); },
              {"neither model.safetensors nor model.safetensors.index.json"});
  fs::copy(kModels + "llama/model.safetensors", dir / "model.safetensors");
  CHECK_NOTHROW(ModelFile::Open(dir.path().string()));
  fs::remove(dir / "config.json");
  ExpectError([&] { ModelFile::Open(dir / "model.safetensors"); }, {"config.json is missing"});
  dir.Write("config.json", "{\"model_type\": ");
  ExpectError([&] { ModelFile::Open(dir.path().string()); }, {"config.json", "invalid JSON"});
}

// Writes tensors of the tiny model whose names do (or do not) begin with `prefix` to a file.
void WriteShard(const std::string& path, const std::string& prefix, bool matching) {
  const SafetensorsFile whole = SafetensorsFile::Open(kModels + "llama/model.safetensors");
  std::vector<SafetensorsWriter::Entry> layout;
  for (const auto& [name, tensor] : whole.tensors()) {
    if (name.starts_with(prefix) == matching) layout.push_back({name, tensor.type, tensor.shape});
  }
  SafetensorsWriter writer(path, layout);
  for (const auto& entry : layout) {
    const SafetensorsTensor& tensor = whole.Get(entry.name);
    writer.Append({tensor.data, tensor.bytes});
  }
  writer.Finish();
}

TEST_CASE("model file: weights in several files", "[model_file]") {
  const TempDir dir;
  fs::copy(kModels + "llama/config.json", dir / "config.json");
  WriteShard(dir / "1.safetensors", "model.layers.1.", true);
  WriteShard(dir / "2.safetensors", "model.layers.1.", false);
  const std::string index =
      dir.Write("model.safetensors.index.json",
                R"({"metadata": {}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})");
  const ModelFile whole = ModelFile::Open(kModels + "llama");
  for (const std::string& path : {dir.path().string(), index}) {
    const ModelFile file = ModelFile::Open(path);
    CHECK(file.parameters() == whole.parameters());
    CHECK(std::memcmp(file.weights().layers[1].wq.data, whole.weights().layers[1].wq.data,
                      64 * 64 * 4) == 0);
  }
  WriteShard(dir / "1.safetensors", "model.", true);
  ExpectError([&] { ModelFile::Open(index); }, {"2.safetensors", "in another file too"});
  for (const std::string_view bad :
       {R"({"weight_map": {"a": "../1.safetensors"}})", R"({"weight_map": {"a": "passwd"}})",
        R"({"weight_map": {"a": 3}})", R"({"weight_map": {}})", R"({})", R"([])"}) {
    dir.Write("model.safetensors.index.json", bad);
    ExpectError([&] { ModelFile::Open(index); }, {"weight_map"});
  }
}

TEST_CASE("model file: the label is the type of most matrix bytes", "[model_file]") {
  GgufWriter writer = MakeTinyLlama();
  for (auto& tensor : writer.tensors) {
    if (tensor.name.starts_with("blk.") && tensor.shape.size() == 2) {
      tensor.type = ToGgmlType(DType::kQ8_0);
      tensor.data.resize(tensor.shape[0] * *RowBytes(DType::kQ8_0, tensor.shape[1]));
    }
  }
  const Bytes bytes = writer.ToBytes();
  CHECK(ModelFile::FromMemory(bytes, "test").quantization() == "q8_0");
}

TEST_CASE("model file: validation names tensor and element", "[model_file]") {
  GgufWriter writer = MakeTinyLlama();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(&writer.At("blk.1.ffn_up.weight").data[(5 * 32 + 7) * 4], &nan, 4);
  const Bytes bytes = writer.ToBytes();
  const ModelFile file = ModelFile::FromMemory(bytes, "test");
  ExpectError([&] { file.ValidateFinite(); }, {"test", "blk.1.ffn_up.weight", "row 5, column 7"});
  writer = MakeTinyLlama();
  std::memcpy(&writer.At("output_norm.weight").data[31 * 4], &nan, 4);
  const Bytes norm = writer.ToBytes();
  ExpectError([&] { ModelFile::FromMemory(norm, "test").ValidateFinite(); },
              {"output_norm.weight", "column 31"});
}

TEST_CASE("model file: SmolLM2", "[model_file]") {
  const char* variable = std::getenv("SPARK_SMOLLM2");
  const std::string path = variable ? variable : SPARK_SOURCE_DIR "/models/smollm2.gguf";
  if (!fs::exists(path)) SKIP("needs " << path << " or SPARK_SMOLLM2=PATH");
  const ModelFile file = ModelFile::Open(path);
  CHECK(file.config().n_layers == 30);
  CHECK(file.config().n_heads == 9);
  CHECK(file.config().n_kv_heads == 3);
  CHECK(file.config().head_dim == 64);
  CHECK(file.config().vocab_size == 49152);
  CHECK(file.config().rope.theta == 100000.0f);
  CHECK(file.parameters() == 134515008);
  CHECK(file.weights().output.data == file.weights().token_embedding.data);
  CHECK(file.gguf()->metadata().FindStrings("tokenizer.ggml.tokens")->size() == 49152);
  CHECK_NOTHROW(file.ValidateFinite());
}

}  // namespace
}  // namespace spark
