// A record, but for the figures of its task.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <fstream>

#include "eval/runner.h"
#include "spark/simd.h"
#include "spark/statistics.h"
#include "spark/version.h"

namespace spark {
namespace {

// The keys of a record, in order (record.h).
constexpr const char* kKeys[] = {"point",
                                 "status",
                                 "error",
                                 "kv",
                                 "token_stage",
                                 "channel_stage",
                                 "ratio",
                                 "cache_type_k",
                                 "cache_type_v",
                                 "context",
                                 "task",
                                 "threads",
                                 "samples",
                                 "seed",
                                 "query_aware",
                                 "metric",
                                 "score",
                                 "score_low",
                                 "score_high",
                                 "perplexity",
                                 "perplexity_low",
                                 "perplexity_high",
                                 "perplexity_loss",
                                 "kl",
                                 "kl_low",
                                 "kl_high",
                                 "top1",
                                 "top1_low",
                                 "top1_high",
                                 "by_depth",
                                 "kv_bytes",
                                 "kv_bytes_per_token",
                                 "kv_bytes_dense_f16",
                                 "kv_share",
                                 "kept",
                                 "prefill_tokens_per_second",
                                 "compress_seconds",
                                 "decode_tokens_per_second",
                                 "speed",
                                 "peak_rss_bytes",
                                 "seconds",
                                 "model",
                                 "arch",
                                 "parameters",
                                 "quantization",
                                 "fingerprint",
                                 "backend",
                                 "compute",
                                 "simd_target",
                                 "cpu",
                                 "version",
                                 "started"};

struct StageName {
  std::string name;
  std::optional<double> ratio;  // share removed; nothing for methods with another argument
};

StageName ReadStage(std::string_view text) {
  StageName stage;
  stage.name = text.substr(0, text.find_first_of(":["));
  const size_t colon = text.find(':');
  if (colon == text.npos || stage.name == "spark-topp") return stage;  // a mass, not a ratio
  double ratio = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, ratio);
  if (error == std::errc() && (stopped == end || *stopped == '[')) stage.ratio = ratio;
  return stage;
}

void SetStages(const CompressionPlan& plan, Record& record) {
  if (plan.token_stage() == nullptr && plan.channel_stage() == nullptr &&
      !plan.compresses_windows()) {
    return;
  }
  const std::string& text = plan.text();
  const size_t plus = text.find('+');
  const bool token = plan.token_stage() != nullptr || plan.token_stage(true) != nullptr;
  const StageName first = ReadStage(std::string_view(text).substr(0, plus));
  const auto set_ratio = [&](const StageName& stage) {
    record["ratio"] = stage.ratio ? Record(*stage.ratio) : Record(nullptr);
  };
  record[token ? "token_stage" : "channel_stage"] = first.name;
  set_ratio(first);
  if (plus == text.npos) return;
  const StageName second = ReadStage(std::string_view(text).substr(plus + 1));
  record["channel_stage"] = second.name;
  set_ratio(second);
}

double Rounded(double x) { return std::round(x * 1e4) / 1e4; }

Record KeptJson(const KeptShares& kept) {
  Record layers = Record::array();
  Record channels = Record::array();
  for (const double share : kept.layers) layers.push_back(Rounded(share));
  for (const std::vector<double>& layer : kept.channels) {
    Record& row = channels.emplace_back(Record::array());
    for (const double share : layer) row.push_back(Rounded(share));
  }
  return {{"layers", layers}, {"channels", channels}};
}

void SetMeasures(const Candidate& candidate, Record& record) {
  constexpr const char* kParts[] = {"key_values",  "key_masks", "key_signs",
                                    "key_scalars", "values",    "dense_tail"};
  const Measured& m = candidate.measured;
  if (m.n == 0) return;
  const auto n = static_cast<double>(m.n);
  Record bytes;
  uint64_t total = 0;
  for (size_t i = 0; i < m.bytes.size(); ++i) {
    const auto part = static_cast<uint64_t>(std::llround(m.bytes[i] / n));
    bytes[kParts[i]] = part;
    total += part;
  }
  bytes["total"] = total;
  record["samples"] = m.n;
  record["kv_bytes"] = std::move(bytes);
  record["kv_bytes_per_token"] = static_cast<double>(total) * n / m.context_tokens;
  record["kv_bytes_dense_f16"] = static_cast<uint64_t>(std::llround(m.bytes_dense_f16 / n));
  record["kv_share"] = static_cast<double>(total) * n / m.bytes_dense_f16;
  if (m.kept) record["kept"] = KeptJson(*m.kept);
  if (m.prefill_seconds > 0) {
    record["prefill_tokens_per_second"] = m.context_tokens / m.prefill_seconds;
  }
  record["compress_seconds"] = m.compress_seconds / n;
  if (m.decode_seconds > 0 && m.decode_steps > 0) {
    record["decode_tokens_per_second"] = m.decode_steps / m.decode_seconds;
  }
}

// "model name" of /proc/cpuinfo; "" where there is none.
std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != line.npos) return line.substr(colon + 2);
  }
  return "";
}

}  // namespace

Record MakeRecord(const Bench& bench, const Candidate& candidate) {
  Record record = Record::object();
  for (const char* key : kKeys) record[key] = nullptr;
  const Point& point = candidate.point;
  record["point"] = point.Key();
  record["status"] = candidate.failed() ? "failed" : "ok";
  if (candidate.failed()) record["error"] = candidate.error;
  record["kv"] = point.kv;
  SetStages(candidate.plan, record);
  record["cache_type_k"] = Name(point.k);
  record["cache_type_v"] = Name(point.v);
  if (point.context > 0) record["context"] = point.context;
  record["task"] = point.task;
  record["threads"] = point.threads;
  record["seed"] = bench.options.seed;
  record["query_aware"] = bench.options.query_aware;
  if (!candidate.failed()) SetMeasures(candidate, record);
  const ModelInfo& model = bench.model.info();
  record["peak_rss_bytes"] = PeakRssBytes();
  record["model"] = model.name;
  record["arch"] = model.arch;
  record["parameters"] = model.parameters;
  record["quantization"] = model.quantization;
  record["fingerprint"] = bench.model.fingerprint();
  record["backend"] = bench.options.backend;
  record["compute"] = bench.options.compute_f32 ? "f32" : "auto";
  record["simd_target"] = bench.options.backend == "cpu" ? CurrentSimdTarget() : "none";
  record["cpu"] = CpuName();
  record["version"] = Version();
  return record;
}

}  // namespace spark
