// One line of results.jsonl: what one point of a sweep was, and what was measured. Runner, tables
// and report meet here.
//
// A point is a plan × cache types × context × task × threads. Keys of a record, in this order;
// what does not apply is null:
//
// point           unique in a sweep: "kv=spark:0.8 k=f16 v=f16 context=1024 task=needle t=2",
//                 without context for speed
// status          "ok" | "failed"
// error           text of a failed one
// kv              "spark:0.8"
// token_stage     "snapkv"
// channel_stage   "spark"
// ratio           removed share of the channel stage, else of the token stage
// cache_type_k, cache_type_v, context, task, threads
// samples         how many were measured
// seed, query_aware (bool)
// metric          "perplexity" | "exact" | … | "speed"
// score           its mean (the perplexity for nll; null for speed)
// score_low, score_high   95 %
// perplexity, perplexity_low, perplexity_high   (nll, as the next two lines)
// perplexity_loss         share more than the uncompressed cache of the same run
// kl, kl_low, kl_high, top1, top1_low, top1_high
// by_depth        [{"depth": 0.5, "score": 0.9, "n": 10}, …]   (needle)
// kv_bytes        {key_values, key_masks, key_signs, key_scalars, values, dense_tail, total}:
//                 measured when the context was compressed, mean over samples
// kv_bytes_per_token, kv_bytes_dense_f16
// kv_share        of dense f16
// kept            {"layers": [mean kept share of tokens × channels, a layer],
//                  "channels": [[share of tokens that kept channel j, of KV head 0], a layer]},
//                 of the first sample
// prefill_tokens_per_second   of the pass that all plans shared, without compression
// compress_seconds            mean of a sample
// decode_tokens_per_second
// speed           [{"depth": 4096, "read": how many of these tokens were read (the others are
//                   copies in the cache), "prefill_tokens_per_second": of those read,
//                   "compress_share": … of prefill and compression,
//                   "decode_tokens_per_second": median of rounds, "decode_low", "decode_high":
//                   slowest and fastest round, "decode_ratio", "decode_ratio_low",
//                   "decode_ratio_high": to the uncompressed cache, round by round}, …]   (speed)
// peak_rss_bytes  of the process so far
// seconds         wall time, of shared work a share
// model, arch, parameters, quantization, fingerprint, backend, compute, simd_target, cpu, version
// started         UTC, ISO 8601
#ifndef SPARK_EVAL_RECORD_H_
#define SPARK_EVAL_RECORD_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

using Record = nlohmann::ordered_json;

// The lines of a results.jsonl, in order. A last line without its end is left out: a run was
// killed while it wrote it. Throws Error, naming the line, for anything else that is no record.
std::vector<Record> ReadRecords(const std::string& path);

// A figure of `object`. Records come from a file: what is missing, of another type or not finite is
// nothing.
std::optional<double> Number(const Record& object, std::string_view key);

}  // namespace spark

#endif  // SPARK_EVAL_RECORD_H_
