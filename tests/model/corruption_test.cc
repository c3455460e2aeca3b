// Valid files with random damage: each either loads, and then everything it points at can be read,
// or ends in spark::Error. Any other exception fails the test; run it under the address sanitizer
// to catch the rest.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "model/config_load.h"
#include "model/model_file.h"
#include "spark/error.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_llama.h"

namespace spark {
namespace corruption_test {

using test::Bytes;

// Changes a few bytes at random and puts them back in the end.
class Damage {
 public:
  // Most changes fall on the first `header` bytes, where they do most harm.
  Damage(Bytes& bytes, size_t header, std::mt19937& random) : bytes_(bytes) {
    const size_t changes = 1 + random() % 3;
    for (size_t i = 0; i < changes; ++i) {
      const size_t at = random() % (random() % 16 == 0 ? bytes.size() : header);
      before_.emplace_back(at, bytes[at]);
      constexpr std::array<uint8_t, 6> kEdges = {0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF};
      bytes[at] = random() % 2 == 0 ? bytes[at] ^ static_cast<std::byte>(1u << random() % 8)
                                    : static_cast<std::byte>(kEdges[random() % kEdges.size()]);
    }
  }
  Damage(const Damage&) = delete;
  Damage& operator=(const Damage&) = delete;
  ~Damage() {
    for (auto change = before_.rbegin(); change != before_.rend(); ++change) {
      bytes_[change->first] = change->second;
    }
  }

 private:
  Bytes& bytes_;
  std::vector<std::pair<size_t, std::byte>> before_;
};

// Runs `load` on `rounds` damaged versions; returns how many of them were refused.
template <typename Load>
int CountRefused(Bytes& bytes, size_t header, int rounds, Load&& load) {
  std::mt19937 random(20240607);
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    const Damage damage(bytes, header, random);
    try {
      load();
    } catch (const Error& error) {
      ++refused;
      if (std::string_view(error.what()).find('\n') != std::string_view::npos) {
        FAIL("more than a line: " << error.what());
      }
    }
  }
  return refused;
}

uint64_t Sum(const std::byte* data, uint64_t bytes) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < bytes; ++i) sum += std::to_integer<uint64_t>(data[i]);
  return sum;
}

TEST_CASE("corruption: GGUF models", "[corruption]") {
  test::GgufWriter writer = test::MakeTinyLlama({.vocab = 4, .intermediate = 32});
  writer.SetStrings("tokenizer.ggml.tokens", {"<s>", "a", "b", "ab"});
  writer.SetFloats("tokenizer.ggml.scores", {0, 1, 2, 3});
  writer.SetInts("tokenizer.ggml.token_type", {3, 1, 1, 1});
  Bytes bytes = writer.ToBytes();
  const GgufFile whole = GgufFile::FromMemory(bytes, "test");
  const auto header = static_cast<size_t>(whole.tensors()[0].data - bytes.data());

  volatile uint64_t sink = 0;  // the reads must happen
  constexpr int kRounds = 8000;
  const int refused = CountRefused(bytes, header, kRounds, [&] {
    const ModelFile file = ModelFile::FromMemory(bytes, "test");
    for (const StoredTensor& tensor : file.gguf()->tensors()) {
      sink = sink + Sum(tensor.data, tensor.bytes);
    }
    for (const auto& [key, value] : file.gguf()->metadata().values()) {
      if (!value.is_array || value.type != GgufType::kString) continue;
      const auto strings = file.gguf()->metadata().FindStrings(key);
      for (const std::string_view text : *strings) {
        sink = sink + text.size() + (text.empty() ? 0 : static_cast<uint8_t>(text.back()));
      }
    }
    file.ValidateFinite();
  });
  CHECK(refused > kRounds / 10);
  CHECK(refused < kRounds);
}

TEST_CASE("corruption: safetensors", "[corruption]") {
  const std::string path = SPARK_TEST_DATA "/models/llama-tied-bf16/model.safetensors";
  const std::string text = test::ReadText(path);
  const auto view = std::as_bytes(std::span(text));
  Bytes bytes(view.begin(), view.end());
  volatile uint64_t sink = 0;
  constexpr int kRounds = 4000;
  const int refused = CountRefused(bytes, 3016, kRounds, [&] {
    const auto file = SafetensorsFile::FromMemory(bytes, "test");
    for (const auto& [name, tensor] : file.tensors()) {
      sink = sink + Sum(tensor.data + tensor.bytes - (tensor.bytes > 0 ? 1 : 0), tensor.bytes > 0);
    }
  });
  CHECK(refused > kRounds / 10);
  CHECK(refused < kRounds);
}

TEST_CASE("corruption: config.json", "[corruption]") {
  const std::string text = test::ReadText(SPARK_TEST_DATA "/models/llama3-rope/config.json");
  const auto view = std::as_bytes(std::span(text));
  Bytes bytes(view.begin(), view.end());
  constexpr int kRounds = 8000;
  const int refused = CountRefused(bytes, bytes.size(), kRounds, [&] {
    const std::string_view damaged(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    ConfigFromHuggingFace(ParseJson(damaged, "config.json"), "config.json");
  });
  CHECK(refused > kRounds / 10);
  CHECK(refused < kRounds);
}

}  // namespace corruption_test
}  // namespace spark
