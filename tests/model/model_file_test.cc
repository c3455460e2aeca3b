#include "model/model_file.h"

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "model/fingerprint.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_llama.h"

namespace spark {
namespace model_file_test {

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

// The tiny model with every `step`-th tensor, from `first` on, in a file of its own.
void WriteShard(const std::string& path, size_t first, size_t step) {
  const SafetensorsFile whole = SafetensorsFile::Open(kModels + "llama/model.safetensors");
  std::vector<SafetensorsWriter::Entry> layout;
  size_t i = 0;
  for (const auto& [name, tensor] : whole.tensors()) {
    if (i++ % step == first) layout.push_back({name, tensor.type, tensor.shape});
  }
  SafetensorsWriter writer(path, layout);
  for (const auto& entry : layout) {
    const SafetensorsTensor& tensor = whole.Get(entry.name);
    writer.Append({tensor.data, tensor.bytes});
  }
  writer.Finish();
}

TEST_CASE("model file: weights in several .safetensors files", "[model_file]") {
  const TempDir dir;
  fs::copy(kModels + "llama/config.json", dir / "config.json");
  nlohmann::json map;
  uint64_t bytes = 0;
  for (size_t i = 0; i < 3; ++i) {
    const std::string name = "model-" + std::to_string(i) + ".safetensors";
    WriteShard(dir / name, i, 3);
    bytes += fs::file_size(dir / name);
    const SafetensorsFile shard = SafetensorsFile::Open(dir / name);
    for (const auto& [tensor, data] : shard.tensors()) map[tensor] = name;
  }
  const std::string index =
      dir.Write("model.safetensors.index.json",
                nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
  const ModelFile whole = ModelFile::Open(kModels + "llama");
  for (const std::string& path : {dir.path().string(), index}) {
    const ModelFile file = ModelFile::Open(path);
    CHECK(file.parameters() == whole.parameters());
    CHECK(file.file_bytes() == bytes);
    CHECK(file.quantization() == "f32");
    CHECK(Fingerprint(file) == Fingerprint(whole));
    CHECK(std::memcmp(file.weights().layers[1].wq.data, whole.weights().layers[1].wq.data,
                      64 * 64 * 4) == 0);
    CHECK_NOTHROW(file.ValidateFinite());
  }
  fs::remove(dir / "model-1.safetensors");
  ExpectError([&] { ModelFile::Open(dir.path().string()); }, {"model-1.safetensors", "missing"});
}

// The tiny model in three parts, the first without tensors; `change` may spoil the writers.
void WriteParts(const TempDir& dir, const std::function<void(std::vector<GgufWriter>&)>& change) {
  GgufWriter whole = MakeTinyLlama();
  std::vector<GgufWriter> parts(3);
  parts[0].pairs = whole.pairs;
  for (size_t i = 0; i < whole.tensors.size(); ++i) {
    parts[i < 7 ? 1 : 2].tensors.push_back(whole.tensors[i]);
  }
  for (uint32_t i = 0; i < 3; ++i) {
    parts[i].SetU32("split.no", i);
    parts[i].SetU32("split.count", 3);
    parts[i].SetI32("split.tensors.count", static_cast<int32_t>(whole.tensors.size()));
  }
  if (change) change(parts);
  for (size_t i = 0; i < 3; ++i) {
    dir.Write(fmt::format("tiny-{:05}-of-00003.gguf", i + 1), parts[i].ToBytes());
  }
}

TEST_CASE("model file: a split GGUF is the model it was split from", "[model_file]") {
  const TempDir dir;
  WriteParts(dir, nullptr);
  const Bytes bytes = MakeTinyLlama().ToBytes();
  const ModelFile whole = ModelFile::FromMemory(bytes, "whole");
  uint64_t total = 0;
  for (const auto& part : fs::directory_iterator(dir.path())) total += part.file_size();
  for (const char* name : {"tiny-00001-of-00003.gguf", "tiny-00003-of-00003.gguf"}) {
    for (const MapMode mode : {MapMode::kMmap, MapMode::kRead}) {
      ModelFile opened = ModelFile::Open(dir / name, mode);
      const ModelFile file = std::move(opened);
      CHECK(file.path() == dir / name);
      CHECK(file.config().n_layers == 2);
      CHECK(file.parameters() == whole.parameters());
      CHECK(file.file_bytes() == total);
      CHECK(file.quantization() == "f32");
      CHECK(Fingerprint(file) == Fingerprint(whole));
      CHECK(std::memcmp(file.weights().layers[1].wq.data, whole.weights().layers[1].wq.data,
                        32 * 32 * 4) == 0);
      CHECK_NOTHROW(file.ValidateFinite());
    }
  }
  WriteParts(dir, [](std::vector<GgufWriter>& parts) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(&parts[2].At("output_norm.weight").data[4], &nan, 4);
  });
  const ModelFile spoilt = ModelFile::Open(dir / "tiny-00001-of-00003.gguf");
  ExpectError([&] { spoilt.ValidateFinite(); }, {"output_norm.weight", "column 1"});
  CHECK(Fingerprint(spoilt) != Fingerprint(whole));
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

  const MappedFile whole = MappedFile::Open(path);
  for (size_t i = 0; i < 16; ++i) {
    const auto part = whole.bytes().first(whole.bytes().size() * i / 16);
    ExpectError([&] { ModelFile::FromMemory(part, "cut"); }, {"cut: offset "});
  }
}

}  // namespace model_file_test
}  // namespace spark
