// Saved contexts: what comes back, and what a damaged or hostile file does.
#include "generate/context_file.h"

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <functional>
#include <random>

#include "base/hash.h"
#include "model/config.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace context_file_test {

using test::ExpectError;
using test::ReadText;
using test::TempDir;

const Model& TinyLlama() {
  static const Model model = Model::Load(SPARK_TEST_DATA "/models/llama");
  return model;
}

std::vector<TokenId> SomeTokens(size_t n) {
  std::vector<TokenId> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<TokenId>((i * 37 + i * i * 11) % 320);
  return ids;
}

SessionOptions Options(const std::string& plan, CacheType type = CacheType::kF16) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.cache_type_k = options.cache_type_v = type;
  options.backend = "reference";
  options.threads = 1;
  return options;
}

std::string Save(const TempDir& dir, const SessionOptions& options, size_t tokens = 30) {
  Session session(TinyLlama(), options);
  session.Prefill(SomeTokens(tokens));
  const std::string path = dir / "saved";
  session.SaveContext(path);
  return path;
}

void Load(const std::string& path, const SessionOptions& options) {
  Session session(TinyLlama(), options);
  session.LoadContext(SavedContext::Open(path));
}

std::vector<float> Logits(Session& session) {
  session.Append(SomeTokens(7));
  return {session.NextLogits().begin(), session.NextLogits().end()};
}

TEST_CASE("a loaded context is the one that was saved, to the bit", "[context-file]") {
  const TempDir dir;
  for (const std::string plan : {"none", "spark:0.8", "spark:0.8[recovery=zero]", "think:0.5",
                                 "spark:0.8[keep=8,sinks=4]", "spark:0.8[layout=mask]"}) {
    for (const CacheType type :
         {CacheType::kF32, CacheType::kF16, CacheType::kBF16, CacheType::kQ8_0, CacheType::kQ4_0}) {
      CAPTURE(plan, Name(type));
      SessionOptions options = Options(plan, type);
      options.prefill_chunk = 20;
      Session session(TinyLlama(), options);
      session.Prefill(SomeTokens(50));
      const std::string path = dir / "saved";
      session.SaveContext(path);
      const SavedContext saved = SavedContext::Open(path);
      CHECK(saved.ids() == SomeTokens(50));
      CHECK(saved.plan().text() == plan);
      CHECK(saved.cache_type_k() == type);
      CHECK(saved.model_fingerprint() == TinyLlama().fingerprint());
      Session loaded(TinyLlama(), options);
      loaded.LoadContext(saved);
      CHECK(loaded.kv_bytes().total() == session.kv_bytes().total());
      CHECK(loaded.context_tokens() == 50);
      CHECK(std::ranges::equal(loaded.NextLogits(), session.NextLogits()));
      const std::vector<float> logits = Logits(session);
      CHECK(Logits(loaded) == logits);
      loaded.Rewind();
      const std::string again = dir / "again";
      loaded.SaveContext(again);
      CHECK(ReadText(again) == ReadText(path));
    }
  }
}

TEST_CASE("only a context is saved, and only an empty session loads one", "[context-file]") {
  const TempDir dir;
  SessionOptions options = Options("spark:0.5");
  options.decode_interval = 4;
  Session session(TinyLlama(), options);
  const std::string path = dir / "saved";
  ExpectError([&] { session.SaveContext(path); }, {"no context"});
  session.Prefill(SomeTokens(20));
  session.Append(SomeTokens(10));
  ExpectError([&] { session.SaveContext(path); }, {"tokens have been added"});
  session.Rewind();
  session.SaveContext(path);
  ExpectError([&] { session.LoadContext(SavedContext::Open(path)); }, {"one context"});
  ExpectError([&] { Load(path, Options("spark:0.6")); },
              {"saved", "plan", "found spark:0.5", "allowed spark:0.6"});
  ExpectError([&] { Load(path, Options("spark:0.5", CacheType::kF32)); }, {"cache type of keys"});
  SessionOptions small = Options("spark:0.5");
  small.context_size = 19;
  ExpectError([&] { Load(path, small); }, {"does not fit"});
}

TEST_CASE("every flipped byte and every truncation of a saved context is refused",
          "[context-file]") {
  const TempDir dir;
  std::mt19937 random(1);
  for (const std::string plan : {"spark:0.8", "think:0.5"}) {
    const std::string bytes = ReadText(Save(dir, Options(plan)));
    for (size_t i = 0; i < 200; ++i) {
      std::string damaged = bytes;
      // All of the header's first bytes and of the last ones, and others at random.
      const size_t at = i < 60 ? i : i < 80 ? bytes.size() - 1 - (i - 60) : random() % bytes.size();
      damaged[at] = static_cast<char>(damaged[at] ^ (1 + random() % 255));
      CAPTURE(plan, at);
      const std::string path = dir.Write("damaged", damaged);
      ExpectError([&] { Load(path, Options(plan)); }, {path});
    }
    for (size_t i = 0; i < 100; ++i) {
      const size_t length = i < 20   ? i + 1
                            : i < 40 ? bytes.size() - (i - 19)
                                     : random() % bytes.size();
      CAPTURE(plan, length);
      const std::string path = dir.Write("short", std::string_view(bytes).substr(0, length));
      ExpectError([&] { Load(path, Options(plan)); }, {path});
    }
    ExpectError([&] { Load(dir.Write("long", bytes + "x"), Options(plan)); }, {"long"});
  }
}

// A file that somebody has changed and given the right checksum.
class Forger {
 public:
  explicit Forger(const std::string& path) : path_(path), file_(SafetensorsFile::Open(path)) {
    metadata = file_.metadata();
    for (const auto& [name, tensor] : file_.tensors()) {
      if (name == "checksum") continue;
      entries.push_back({name, tensor.type, tensor.shape});
      data.emplace_back(tensor.data, tensor.data + tensor.bytes);
    }
  }

  size_t Number(std::string_view name) const {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].name == name) return i;
    }
    FAIL("no tensor " << name);
    return 0;
  }
  void SetCell(size_t cell, int32_t value) {
    std::memcpy(data[Number("segments")].data() + cell * 4, &value, 4);
  }
  void Resize(std::string_view name, uint64_t bytes) {
    data[Number(name)].resize(bytes);
    entries[Number(name)].shape = {bytes};
  }
  void Remove(std::string_view name) {
    const auto i = static_cast<std::ptrdiff_t>(Number(name));
    entries.erase(entries.begin() + i);
    data.erase(data.begin() + i);
  }
  void Write() {
    entries.push_back({"checksum", SafetensorsType::kU8, {8}});
    SafetensorsWriter writer(path_, entries, metadata);
    for (const auto& bytes : data) writer.Append(bytes);
    const uint64_t checksum = writer.checksum();
    writer.Append(std::as_bytes(std::span(&checksum, 1)));
    writer.Finish();
  }

  SafetensorsMetadata metadata;
  std::vector<SafetensorsWriter::Entry> entries;
  std::vector<std::vector<std::byte>> data;

 private:
  std::string path_;
  SafetensorsFile file_;
};

// What is wrong, by the words of the error, in a file with a correct checksum.
void CheckForged(const std::string& plan, const std::function<void(Forger&)>& forge,
                 std::initializer_list<std::string_view> parts) {
  const TempDir dir;
  const std::string path = Save(dir, Options(plan));
  Forger forger(path);
  forge(forger);
  forger.Write();
  ExpectError([&] { Load(path, Options(plan)); }, parts);
}

TEST_CASE("saved contexts of older versions are read", "[context-file]") {
  for (const char* version : {"2", "3"}) {  // lanes of version 3: tests/kv/lane_store_test.cc
    INFO("version " << version);
    const TempDir dir;
    const std::string path = Save(dir, Options("spark:0.5"));
    Forger forger(path);
    forger.metadata["version"] = version;
    forger.Write();
    CHECK_NOTHROW(Load(path, Options("spark:0.5")));
  }
}

TEST_CASE("a file with a right checksum is not believed either", "[context-file]") {
  const std::string spark = "spark:0.5";
  const auto meta = [](const char* key, const char* value) {
    return [=](Forger& f) { f.metadata[key] = value; };
  };
  CheckForged(spark, meta("version", "1"), {"version", "found 1", "allowed 2, 3 or 4"});
  CheckForged(spark, meta("format", "cake"), {"not a saved context"});
  CheckForged(spark, meta("fingerprint", "12"), {"another model", "found 12"});
  CheckForged(spark, meta("plan", "cake:1"), {"plan", "cake"});
  CheckForged(spark, meta("cache_type_k", "f7"), {"cache_type_k", "f7"});
  CheckForged(spark, meta("tokens", "31"), {"tokens", "found 30", "allowed 31"});
  CheckForged(spark, [](Forger& f) { f.metadata.erase("plan"); }, {"plan", "missing"});

  // Columns: layer, head, tokens, first position, key form, type, recovery, value form, type,
  // recovery.
  const auto cell = [](size_t column, int32_t value) {
    return [=](Forger& f) { f.SetCell(column, value); };
  };
  for (const int32_t value : {-1, 4, INT32_MAX, INT32_MIN}) {
    CheckForged(spark, cell(0, value), {"segment 0: layer", "out of range", "0 to 2"});
    CheckForged(spark, cell(4, value), {"segment 0: keys form", "0 to 3"});
    CheckForged(spark, cell(6, value), {"segment 0: keys recovery"});
  }
  CheckForged(spark, cell(3, -2), {"segment 0: first position", "-1 to 29"});
  CheckForged(spark, cell(3, 30), {"segment 0: first position", "-1 to 29"});
  CheckForged(spark, cell(3, 1), {"segment 0: positions", "ascending"});
  CheckForged(spark, cell(1, 2), {"segment 0: head"});
  CheckForged(spark, cell(2, 0), {"segment 0: tokens", "1 to 30"});
  CheckForged(spark, cell(2, 31), {"segment 0: tokens", "1 to 30"});
  CheckForged(spark, cell(2, 29), {"segment 0: keys", "masks", "wrong length"});
  CheckForged(spark, cell(5, 10), {"segment 0: keys type"});
  CheckForged(spark, cell(5, 0), {"segment 0: keys", "wrong length"});
  CheckForged(spark, cell(6, 1), {"segment 0: keys", "wrong length"});
  CheckForged(spark, cell(6, 2), {"segment 0: keys", "recover"});
  CheckForged(spark, cell(7, 1), {"segment 0: values", "not stored in this form"});
  CheckForged(spark, cell(7, 2), {"segment 0: values form", "0 to 1"});
  CheckForged(spark, cell(10 + 1, 0), {"segment 1", "more tokens"});

  for (const char* array : {"0.keys.values", "0.keys.masks", "0.keys.signs", "0.keys.scalars",
                            "0.keys.fill", "0.values.rows"}) {
    for (const uint64_t bytes : {1, 29, 4096}) {
      CheckForged(spark, [&](Forger& f) { f.Resize(array, bytes); },
                  {"segment 0: ", "wrong length"});
    }
    CheckForged(spark, [&](Forger& f) { f.Remove(array); }, {"segment 0: ", "wrong length"});
  }
  CheckForged(spark, [](Forger& f) { f.data[f.Number("0.keys.masks")][3] ^= std::byte{1}; },
              {"segment 0: keys", "values", "wrong length"});
  CheckForged(spark, [](Forger& f) { f.Remove("ids"); }, {"ids"});
  CheckForged(spark, [](Forger& f) { f.data[f.Number("ids")][3] = std::byte{0x80}; },
              {"outside the vocabulary"});
  CheckForged(spark,
              [](Forger& f) {
                f.data[f.Number("0.keys.fill")][3] = std::byte{0x7f};
                f.data[f.Number("0.keys.fill")][2] = std::byte{0xff};
              },
              {"fill", "not finite"});
  CheckForged(spark,
              [](Forger& f) {
                f.data[f.Number("hidden")].resize(4), f.entries[f.Number("hidden")].shape = {1};
              },
              {"hidden", "wrong length"});
  CheckForged(spark,
              [](Forger& f) {
                f.entries.push_back({"more", SafetensorsType::kU8, {1}});
                f.data.emplace_back(1);
              },
              {"belong to no segment"});
  const std::string think = "think:0.5";
  const auto channel = [](size_t byte, std::byte value) {
    return [=](Forger& f) { f.data[f.Number("0.keys.channels")][byte] = value; };
  };
  CheckForged(think, channel(7, std::byte{1}), {"channels", "below 8"});
  CheckForged(think, channel(0, std::byte{7}), {"channels", "ascending"});
  CheckForged(think, [](Forger& f) { f.Resize("0.keys.channels", 7); }, {"channels"});
  CheckForged(think, [](Forger& f) { f.Resize("0.keys.channels", 0); }, {"channels"});
  CheckForged(think, [](Forger& f) { f.Resize("0.keys.rows", 100); }, {"rows", "wrong length"});
}

TEST_CASE("fingerprints tell models apart and do not depend on where they lie", "[context-file]") {
  namespace fs = std::filesystem;
  const TempDir dir;
  const auto copy = [&](const std::string& name, size_t flip) {
    const std::string folder = dir / name;
    fs::create_directories(folder);
    fs::copy(SPARK_TEST_DATA "/models/llama/config.json", folder);
    std::string bytes = ReadText(SPARK_TEST_DATA "/models/llama/model.safetensors");
    if (flip > 0) bytes[bytes.size() - flip] = static_cast<char>(bytes[bytes.size() - flip] ^ 1);
    dir.Write(name + "/model.safetensors", bytes);
    return Model::Load(folder).fingerprint();
  };
  CHECK(TinyLlama().fingerprint().size() == 16);
  CHECK(copy("same", 0) == TinyLlama().fingerprint());
  CHECK(copy("other", 4) != TinyLlama().fingerprint());
  CHECK(Model::LoadEmbedded().fingerprint() != TinyLlama().fingerprint());
  CHECK(Model::LoadEmbedded().fingerprint() == Model::LoadEmbedded().fingerprint());
}

}  // namespace context_file_test
}  // namespace spark
