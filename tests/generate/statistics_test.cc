#include "spark/statistics.h"

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace spark {
namespace statistics_test {

std::vector<std::string> Keys(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST_CASE("the JSON has the documented keys, in order", "[statistics]") {
  Statistics statistics;
  statistics.model = "two \"words\"\n";
  statistics.kv_bytes = {.key_values = 1,
                         .key_masks = 2,
                         .key_signs = 3,
                         .key_scalars = 4,
                         .values = 5,
                         .dense_tail = 6};
  statistics.seed = std::numeric_limits<uint64_t>::max();
  const auto json = nlohmann::ordered_json::parse(ToJson(statistics));
  CHECK(Keys(json) == std::vector<std::string>{"model",
                                               "arch",
                                               "parameters",
                                               "quantization",
                                               "backend",
                                               "simd_target",
                                               "threads",
                                               "kv",
                                               "context_tokens",
                                               "question_tokens",
                                               "generated_tokens",
                                               "stop_reason",
                                               "load_seconds",
                                               "prefill_seconds",
                                               "compress_seconds",
                                               "decode_seconds",
                                               "prefill_tokens_per_second",
                                               "decode_tokens_per_second",
                                               "peak_rss_bytes",
                                               "kv_bytes",
                                               "kv_bytes_dense_f16",
                                               "seed",
                                               "version"});
  CHECK(Keys(json["kv_bytes"]) == std::vector<std::string>{"key_values", "key_masks", "key_signs",
                                                           "key_scalars", "values", "dense_tail",
                                                           "total"});
  CHECK(json["kv_bytes"]["total"] == 21);
  CHECK(json["model"] == statistics.model);
  CHECK(json["seed"] == statistics.seed);
  CHECK(ToJson(statistics).find('\n') == std::string::npos);
}

TEST_CASE("numbers in the JSON are finite and its strings are UTF-8", "[statistics]") {
  Statistics statistics;
  statistics.model = "\xff\xfe";
  statistics.load_seconds = std::numeric_limits<double>::infinity();
  statistics.prefill_seconds = std::numeric_limits<double>::quiet_NaN();
  statistics.context_tokens = 5;
  const auto json = nlohmann::json::parse(ToJson(statistics));
  CHECK(json["load_seconds"] == 0);
  CHECK(json["prefill_seconds"] == 0);
  CHECK(json["prefill_tokens_per_second"] == 0);
  CHECK(json["decode_tokens_per_second"] == 0);
}

TEST_CASE("speeds count the tokens that went through the model", "[statistics]") {
  Statistics statistics;
  statistics.context_tokens = 100;
  statistics.prefill_seconds = 0.5;
  statistics.generated_tokens = 11;
  statistics.decode_steps = 10;
  statistics.decode_seconds = 2;
  CHECK(statistics.prefill_tokens_per_second() == 200);
  CHECK(statistics.decode_tokens_per_second() == 5);
}

TEST_CASE("the text names the plan and the share of a dense cache", "[statistics]") {
  Statistics statistics;
  statistics.kv = "spark:0.8";
  statistics.kv_bytes.key_values = 3 << 20;
  statistics.kv_bytes_dense_f16 = 6 << 20;
  const std::string text = ToText(statistics);
  CHECK(text.find("spark:0.8: 3.0 MiB (50.0 % of dense f16)") != std::string::npos);
}

TEST_CASE("bytes are given in binary units", "[statistics]") {
  CHECK(FormatBytes(0) == "0 B");
  CHECK(FormatBytes(1023) == "1023 B");
  CHECK(FormatBytes(1536) == "1.5 KiB");
  CHECK(FormatBytes(uint64_t{3} << 30) == "3.0 GiB");
}

TEST_CASE("the peak of resident memory is known and grows with use", "[statistics]") {
  const uint64_t before = PeakRssBytes();
  CHECK(before > 1 << 20);
  const std::vector<char> block(64 << 20, 1);
  CHECK(PeakRssBytes() >= before);
  CHECK(PeakRssBytes() > block.size());
}

}  // namespace statistics_test
}  // namespace spark
