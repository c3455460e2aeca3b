#include "spark/statistics.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/process.h"

namespace spark {
namespace {

// JSON has no infinity and no NaN.
double Finite(double value) { return std::isfinite(value) ? value : 0; }

double Rate(size_t count, double seconds) {
  return seconds > 0 ? Finite(static_cast<double>(count) / seconds) : 0;
}

std::string Share(size_t part, size_t whole) {
  if (whole == 0) return "";
  return fmt::format(" ({:.1f} % of dense f16)",
                     100 * static_cast<double>(part) / static_cast<double>(whole));
}

// "135 M", "1.24 B"
std::string FormatCount(uint64_t count) {
  const auto n = static_cast<double>(count);
  if (n >= 1e9) return fmt::format("{:.2f} B", n / 1e9);
  if (n >= 1e7) return fmt::format("{:.0f} M", n / 1e6);
  if (n >= 1e6) return fmt::format("{:.1f} M", n / 1e6);
  return fmt::format("{}", count);
}

std::string KvParts(const KvBytes& bytes) {
  std::string parts;
  const auto add = [&](std::string_view name, size_t n) {
    if (n > 0) parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name, FormatBytes(n));
  };
  add("keys", bytes.key_values);
  add("masks", bytes.key_masks);
  add("signs", bytes.key_signs);
  add("scalars", bytes.key_scalars);
  add("values", bytes.values);
  add("dense tail", bytes.dense_tail);
  return parts;
}

}  // namespace

double Statistics::prefill_tokens_per_second() const {
  return Rate(context_tokens, prefill_seconds);
}

double Statistics::decode_tokens_per_second() const { return Rate(decode_steps, decode_seconds); }

void Describe(const ModelInfo& model, Statistics& statistics) {
  statistics.model = model.name;
  statistics.arch = model.arch;
  statistics.parameters = model.parameters;
  statistics.quantization = model.quantization;
}

std::string ToJson(const Statistics& s) {
  const nlohmann::ordered_json json = {
      {"model", s.model},
      {"arch", s.arch},
      {"parameters", s.parameters},
      {"quantization", s.quantization},
      {"backend", s.backend},
      {"simd_target", s.simd_target},
      {"threads", s.threads},
      {"kv", s.kv},
      {"context_tokens", s.context_tokens},
      {"question_tokens", s.question_tokens},
      {"generated_tokens", s.generated_tokens},
      {"stop_reason", s.stop_reason},
      {"load_seconds", Finite(s.load_seconds)},
      {"prefill_seconds", Finite(s.prefill_seconds)},
      {"compress_seconds", Finite(s.compress_seconds)},
      {"decode_seconds", Finite(s.decode_seconds)},
      {"prefill_tokens_per_second", s.prefill_tokens_per_second()},
      {"decode_tokens_per_second", s.decode_tokens_per_second()},
      {"peak_rss_bytes", s.peak_rss_bytes},
      {"kv_bytes",
       {{"key_values", s.kv_bytes.key_values},
        {"key_masks", s.kv_bytes.key_masks},
        {"key_signs", s.kv_bytes.key_signs},
        {"key_scalars", s.kv_bytes.key_scalars},
        {"values", s.kv_bytes.values},
        {"dense_tail", s.kv_bytes.dense_tail},
        {"total", s.kv_bytes.total()}}},
      {"kv_bytes_dense_f16", s.kv_bytes_dense_f16},
      {"seed", s.seed},
      {"version", s.version},
  };
  // Names come from files and need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ToText(const Statistics& s) {
  std::string simd = s.simd_target.empty() ? "" : ", " + s.simd_target;
  std::string text;
  text += fmt::format("model     {} ({}, {} parameters, {}), loaded in {:.2f} s\n", s.model, s.arch,
                      FormatCount(s.parameters), s.quantization, s.load_seconds);
  text += fmt::format("run       {}{}, {} thread{}, seed {}\n", s.backend, simd, s.threads,
                      s.threads == 1 ? "" : "s", s.seed);
  text += fmt::format("context   {} tokens in {:.2f} s ({:.1f} tokens/s) + {:.2f} s compression\n",
                      s.context_tokens, s.prefill_seconds, s.prefill_tokens_per_second(),
                      s.compress_seconds);
  if (s.question_tokens > 0) text += fmt::format("question  {} tokens\n", s.question_tokens);
  text += fmt::format("generated {} tokens in {:.2f} s ({:.1f} tokens/s), stopped: {}\n",
                      s.generated_tokens, s.decode_seconds, s.decode_tokens_per_second(),
                      s.stop_reason);
  text += fmt::format("kv cache  {}: {}{}\n", s.kv, FormatBytes(s.kv_bytes.total()),
                      Share(s.kv_bytes.total(), s.kv_bytes_dense_f16));
  if (s.kv_bytes.total() > 0) text += fmt::format("          {}\n", KvParts(s.kv_bytes));
  text += fmt::format("memory    {} at the peak\n", FormatBytes(s.peak_rss_bytes));
  return text;
}

uint64_t PeakRssBytes() { return PeakResidentBytes(); }

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(bytes);
  size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", amount, kUnits[unit]);
}

}  // namespace spark
