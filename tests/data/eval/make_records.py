#!/usr/bin/env python3
"""Makes records.jsonl, a sweep to test the table, the verdict and the report with.

    tests/data/eval/make_records.py > tests/data/eval/records.jsonl

TEST DATA, NOT RESULTS. Perplexity, KL, top-1 and bytes per token at context 4096 are those of
docs/results.md (SmolLM2-135M-Instruct, Debian Policy). Everything else is made up, in a plausible
range: contexts 1024 and 2048, spreads, the scores of retrieval tasks, speed, what was kept.
"""
import json
import math
import random

LAYERS, CHANNELS, LAYERS_X_HEADS = 30, 64, 90
CONTEXTS = (1024, 2048, 4096)
DEPTHS = (0, 0.25, 0.5, 0.75, 1)
SPEED_DEPTHS = (1024, 4096, 16384)
BASE_PERPLEXITY = 18.575
PARTS = ("key_values", "key_masks", "key_signs", "key_scalars", "values")

# plan, types of keys and values, bytes per token by part, perplexity, KL, top-1;
# then made up: how much a retrieval task loses, decode speed at depth 16384 relative to dense f16.
PLANS = [
    ("none", "f16", "f16", (11521, 0, 0, 0, 11521), 18.575, 0.0, 1.0, 0.0, 1.0),
    ("none", "q8_0", "q8_0", (6121, 0, 0, 0, 6121), 18.600, 0.0006, 0.988, 0.0, 1.12),
    ("none", "q4_0", "q4_0", (3241, 0, 0, 0, 3241), 18.841, 0.0238, 0.912, 0.02, 1.18),
    ("spark:0.5", "f16", "f16", (5761, 721, 721, 188, 11521), 18.566, 0.0015, 0.973, 0.0, 1.16),
    ("spark:0.7", "f16", "f16", (3601, 721, 721, 188, 11521), 18.555, 0.0098, 0.953, 0.0, 1.27),
    ("spark:0.8", "f16", "f16", (2341, 721, 721, 188, 11521), 18.772, 0.0375, 0.927, 0.01, 1.36),
    ("spark:0.9", "f16", "f16", (1261, 721, 721, 188, 11521), 20.872, 0.1461, 0.827, 0.12, 1.42),
    ("think:0.5", "f16", "f16", (5761, 1, 0, 0, 11521), 19.076, 0.0626, 0.882, 0.06, 1.24),
    ("think:0.8", "f16", "f16", (2341, 1, 0, 0, 11521), 27.138, 0.3850, 0.757, 0.47, 1.44),
    ("spark:0.8", "q8_0", "q8_0", (1351, 721, 721, 188, 6121), 18.761, 0.0388, 0.931, 0.01, 1.39),
    ("spark:0.8", "q8_0", "q4_0", (1351, 721, 721, 188, 3241), 18.963, 0.0459, 0.910, 0.03, 1.41),
    ("spark-plus:0.8", "f16", "f16", (2262, 721, 721, 195, 11523), 18.573, 0.0053, 0.969, 0.0, 1.33),
    ("spark-plus:0.8", "f16", "q4_0", (2262, 721, 721, 195, 3243), 18.688, 0.0118, 0.955, 0.0, 1.37),
    ("spark-plus:0.9", "f16", "f16", (1183, 721, 721, 195, 11523), 18.627, 0.0117, 0.945, 0.0, 1.41),
    ("spark-plus:0.9", "f16", "q4_0", (1183, 721, 721, 195, 3243), 18.781, 0.0180, 0.927, 0.02, 1.46),
    ("snapkv:0.5", "f16", "f16", (5761, 0, 0, 0, 5761), 19.304, 0.0250, 0.931, 0.09, 1.71),
    ("snapkv:0.5+spark:0.8", "f16", "f16", (1171, 361, 361, 98, 5761), 19.550, 0.0696, 0.900, 0.11, 2.05),
    ("expected:0.5+spark-plus:0.9", "f16", "q4_0", (598, 361, 361, 105, 1623), 19.337, 0.0419, 0.902,
     0.03, 2.31),
    ("random:0.5", "f16", "f16", (5761, 0, 0, 0, 5761), 31.919, 0.5832, 0.592, 0.5, 1.7),
]
DRAW = random.Random(6)
MACHINE = {"model": "SmolLM2-135M-Instruct", "arch": "llama", "parameters": 134515008,
           "quantization": "Q4_1", "fingerprint": "0123456789abcdef", "backend": "cpu",
           "compute": "auto", "simd_target": "AVX3_ZEN4", "cpu": "Fixture CPU, 2 cores",
           "version": "0.1.0 (fixture)", "started": "2026-11-24T00:00:00Z"}
FIELDS = """point status error kv token_stage channel_stage ratio cache_type_k cache_type_v context
task threads samples seed query_aware metric score score_low score_high perplexity perplexity_low
perplexity_high perplexity_loss kl kl_low kl_high top1 top1_low top1_high by_depth kv_bytes
kv_bytes_per_token kv_bytes_dense_f16 kv_share kept prefill_tokens_per_second compress_seconds
decode_tokens_per_second speed peak_rss_bytes seconds""".split()


def stages(kv):
    """Token stage, channel stage and the ratio of the last one."""
    token = channel = ratio = None
    for stage in kv.split("+"):
        name, _, share = stage.partition(":")
        if name.startswith(("spark", "think")):
            channel = name
        elif name != "none":
            token = name
        ratio = float(share) if share else ratio
    return token, channel, ratio


def new_record(plan, context, task):
    kv, k, v, parts, *_ = plan
    record = dict.fromkeys(FIELDS)
    token, channel, ratio = stages(kv)
    total = sum(parts)
    record.update(
        point=f"kv={kv} k={k} v={v} context={context} task={task} t=2", status="ok", kv=kv,
        token_stage=token, channel_stage=channel, ratio=ratio, cache_type_k=k, cache_type_v=v,
        context=context, task=task, threads=2, samples=20, seed=1, query_aware=False,
        kv_bytes={**{name: n * context for name, n in zip(PARTS, parts)}, "dense_tail": 12288,
                  "total": total * context + 12288},
        kv_bytes_per_token=round(total + 12288 / context, 1), kv_bytes_dense_f16=23040 * context,
        kv_share=round((total * context + 12288) / (23040 * context), 5),
        peak_rss_bytes=180 << 20, seconds=round(DRAW.uniform(4, 40), 2))
    return record


def nll(plan, context):
    kv, _, _, _, perplexity, kl, top1, _, _ = plan
    record = new_record(plan, context, "nll")
    base = BASE_PERPLEXITY if context == 4096 else BASE_PERPLEXITY * {1024: 0.91, 2048: 0.95}[context]
    loss = perplexity / BASE_PERPLEXITY - 1
    if context != 4096:
        loss, kl = loss * {1024: 1.3, 2048: 1.1}[context], kl * {1024: 1.2, 2048: 1.05}[context]
    perplexity = base * (1 + loss)
    record.update(
        metric="perplexity", samples=8, perplexity=round(perplexity, 3), perplexity_loss=round(loss, 5),
        score=round(perplexity, 3), perplexity_low=round(perplexity * 0.93, 3),
        perplexity_high=round(perplexity * 1.07, 3), kl=round(kl, 5), kl_low=round(kl * 0.85, 5),
        kl_high=round(kl * 1.18, 5), top1=top1, top1_low=round(max(0, top1 - 0.012), 4),
        top1_high=round(min(1, top1 + 0.012), 4))
    record["score_low"], record["score_high"] = record["perplexity_low"], record["perplexity_high"]
    if context == 4096:
        record["kept"] = kept(record)
    return record


def kept(record):
    """Keys keep a sawtooth of RoPE's pairs: the slow ones more often."""
    share = 1 - (record["ratio"] or 0) if record["channel_stage"] else 1
    evicted = 0.5 if record["token_stage"] else 1
    layers, channels = [], []
    for layer in range(LAYERS):
        row = []
        for j in range(CHANNELS):
            slow = (j % 32) / 31
            weight = share + 1.6 * share * (1 - share) * (math.tanh(5 * slow - 2.4) +
                                                          0.35 * math.sin(1.3 * layer + j // 5))
            row.append(round(min(1, max(0, weight + DRAW.gauss(0, 0.03) * (share < 1))) * evicted, 2))
        channels.append(row)
        layers.append(round(sum(row) / CHANNELS, 4))
    # Pictures of a few plans are enough to test with.
    some = record["kv"] in ("none", "spark:0.8", "think:0.5") and record["cache_type_k"] == "f16"
    return {"layers": layers, "channels": channels if some else []}


def retrieval(plan, context, task):
    record = new_record(plan, context, task)
    can = {"needle": 1.0, "multikey": 0.85, "vt": 0.7}[task] - {1024: 0, 2048: 0.02, 4096: 0.05}[context]
    hurt = plan[7] * {1024: 0.7, 2048: 0.85, 4096: 1}[context]
    score = can * (1 - hurt)
    if task == "needle":
        by_depth = []
        for depth in DEPTHS:
            middle = 1 - 1.3 * abs(depth - 0.45)
            value = min(1, max(0, can - hurt * (0.45 + 1.2 * middle)))
            by_depth.append({"depth": depth, "score": round(round(value * 20) / 20, 2), "n": 20})
        record["by_depth"], record["samples"] = by_depth, 100
        score = sum(d["score"] for d in by_depth) / len(by_depth)
    spread = 1.96 * math.sqrt(max(score * (1 - score), 0.0025) / record["samples"])
    record.update(metric="recall", score=round(score, 3), score_low=round(max(0, score - spread), 3),
                  score_high=round(min(1, score + spread), 3))
    return record


def speed(plan):
    record = new_record(plan, 4096, "speed")
    gain, rows = plan[8], []
    for depth in SPEED_DEPTHS:
        dense = 1 / (1 / 78 + depth / 450000)
        share = depth / 450000 * dense  # of the time in attention
        decode = dense / (1 - share + share / (1 + (gain - 1) * 1.45))
        rows.append({"depth": depth, "prefill_tokens_per_second": round(420 / (1 + depth / 9000), 1),
                     "compress_share": 0.0 if plan[0] == "none" else 0.011,
                     "decode_tokens_per_second": round(decode, 2), "decode_low": round(decode * .97, 2),
                     "decode_high": round(decode * 1.03, 2)})
    record.update(metric="speed", samples=5, seed=1, speed=rows)
    record["decode_tokens_per_second"] = rows[1]["decode_tokens_per_second"]
    record["prefill_tokens_per_second"] = rows[1]["prefill_tokens_per_second"]
    return record


def main():
    records = []
    for plan in PLANS:
        records += [nll(plan, context) for context in (1024, 4096)]
        records += [retrieval(plan, context, "needle") for context in CONTEXTS]
        records += [retrieval(plan, context, task) for context in (1024, 4096)
                    for task in ("multikey", "vt")]
        records.append(speed(plan))
    failed = new_record(PLANS[-1], 8192, "needle")
    for name in ("kv_bytes", "kv_bytes_per_token", "kv_bytes_dense_f16", "kv_share"):
        failed[name] = None
    failed.update(status="failed", error="context: longer than the model's window: found 8192, allowed "
                  "at most 4096 </script><b>not bold</b>")
    records.append(failed)
    for record in records:
        print(json.dumps({**record, **MACHINE}, separators=(",", ":")))


if __name__ == "__main__":
    main()
