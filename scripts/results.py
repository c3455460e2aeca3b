#!/usr/bin/env python3
"""Quality and bytes of cache plans: the tables of docs/results.md.

    scripts/results.py plans --model models/smollm2.gguf --text FILE [--context 4096]
    scripts/results.py plus  --model models/smollm2.gguf --text FILE [--context 1024]
    scripts/results.py check --model models/smollm2.gguf --text FILE [--context 1024]

Every plan runs through spark-generate: a context is compressed, the tokens behind it are fed as a
question, and their logits are compared with those of the uncompressed f16 cache. A segment is
`context + continuation` tokens of the text; tokens 2 to the last of the continuation are scored.
Points that are done are kept in --cache and not run again. Needs numpy. Prints Markdown.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent

# (plan, type of keys, type of values)
PLANS = [("none", "f16", "f16"), ("none", "q8_0", "q8_0"), ("none", "q4_0", "q4_0")]
PLANS += [(f"spark:{r}", "f16", "f16") for r in (0.5, 0.7, 0.8, 0.9)]
PLANS += [("spark:0.8[recovery=zero]", "f16", "f16"), ("spark:0.8[recovery=normal]", "f16", "f16"),
          ("spark:0.8[keep=32,sinks=4,weights=rms]", "f16", "f16"), ("spark-group", "f16", "f16"),
          ("spark-topp:0.99", "f16", "f16"), ("spark:0.8[values=0.5]", "f16", "f16"),
          ("think:0.5", "f16", "f16"), ("think:0.8", "f16", "f16")]
PLANS += [("spark:0.8", k, v) for k, v in (("q8_0", "q8_0"), ("q8_0", "q4_0"), ("q4_0", "q4_0"))]
PLANS += [(f"spark-plus:{r}", "f16", v) for r in (0.8, 0.9) for v in ("f16", "q8_0", "q4_0")]
PLANS += [("spark-plus:0.95", "f16", "q4_0")]
PLANS += [(f"{m}:0.5", "f16", "f16") for m in
          ("snapkv", "pyramidkv", "streaming", "tova", "h2o", "expected", "knorm", "random")]
PLANS += [("snapkv:0.5[heads=ada]", "f16", "f16"), ("snapkv:0.5+think:0.8", "f16", "f16"),
          ("snapkv:0.5+spark:0.8", "f16", "f16"), ("snapkv:0.5+spark:0.8", "q8_0", "q8_0"),
          ("expected:0.5+spark:0.8", "q8_0", "q8_0"), ("expected:0.5+spark-plus:0.9", "f16", "q4_0")]

# Where the bytes of a key are best spent: the paper's form, its options, fewer bits for more channels.
PLUS = [("none", "f16", "f16")]
for ratio in (0.5, 0.7, 0.8, 0.9):
    PLUS += [(f"spark:{ratio}", "f16", "f16"), (f"spark:{ratio}[recovery=zero]", "f16", "f16"),
             (f"spark:{ratio}[weights=rms]", "f16", "f16"), (f"spark:{ratio}[sinks=4]", "f16", "f16"),
             (f"spark:{ratio}[keep=32,sinks=4,weights=rms]", "f16", "f16"),
             (f"spark-plus:{ratio}", "f16", "f16")]
PLUS += [(f"spark:{r}[store={t},sinks=4,weights=rms]", "f16", "f16") for r, t in
         ((0.625, "q8_0"), (0.32, "q4_0"), (0.82, "q8_0"), (0.66, "q4_0"))]
# Controls: nothing pruned, the context's keys in fewer bits; the tail in f16 as everywhere here.
PLUS += [(f"spark:0[store={t}{more}]", "f16", "f16") for t in ("q8_0", "q4_0")
         for more in ("", ",sinks=4")]

CHECK = [("none", "f16", "f16")]
CHECK += [(f"{m}:{r}", "f16", "f16") for r in (0.5, 0.7, 0.8, 0.9) for m in ("spark", "spark-plus")]

TABLES = {"plans": PLANS, "plus": PLUS, "check": CHECK}


def tokenize(args):
    command = [args.binary, "-f", args.text, "--tokenize"]
    if args.model:
        command += ["-m", args.model]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def read_logits(path):
    """The `logits` tensor of a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        entry = header["logits"]
        file.seek(start + entry["data_offsets"][0])
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        return np.frombuffer(file.read(size), np.float32).reshape(entry["shape"])


def log_softmax(logits):
    logits = logits.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def run(args, plan, context, continuation):
    """Log-probabilities behind each token of the continuation, and the statistics."""
    ids = lambda tokens: ",".join(map(str, tokens))
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/logits.safetensors"
        command = [args.binary, "--prompt-ids", ids(context), "--question-ids", ids(continuation),
                   "-n", "0", "--stats", "json", "--compute", "f32", "--logits-out", out, "--kv", plan[0],
                   "-ctk", plan[1], "-ctv", plan[2], "-c", str(len(context) + len(continuation))]
        if args.model:
            command += ["-m", args.model]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"{plan}: {result.stderr.strip()}")
        line = [x for x in result.stderr.splitlines() if x.startswith("{")][-1]
        return log_softmax(read_logits(out)), json.loads(line)


def measure(log_p, full, continuation, stats):
    rows = np.arange(len(continuation) - 1)
    targets = np.array(continuation[1:])
    nll = -log_p[rows, targets].mean()
    kl = (np.exp(full[rows]) * (full[rows] - log_p[rows])).sum(-1).mean()
    agree = (log_p[rows].argmax(-1) == full[rows].argmax(-1)).mean()
    parts = {k: v for k, v in stats["kv_bytes"].items() if k not in ("total", "dense_tail")}
    return {"nll": nll, "kl": kl, "agree": agree, "bytes": parts,
            "tokens": stats["context_tokens"], "simd": stats["simd_target"]}


def collect(args, plans):
    tokens = tokenize(args)
    length = args.context + args.continuation
    starts = [args.start + i * length for i in range(args.segments)
              if args.start + (i + 1) * length <= len(tokens)]
    if not starts:
        sys.exit(f"{args.text}: {len(tokens)} tokens, needed {args.start + length}")
    key_of = lambda start, plan: "|".join([args.model or "default", pathlib.Path(args.text).name,
                                           str(args.context), str(start), *plan])
    cache = pathlib.Path(args.cache)
    done = {}
    if cache.exists():
        for line in cache.read_text().splitlines():
            record = json.loads(line)
            done[record["key"]] = record
    full_plan = ("none", "f16", "f16")
    for start in starts:
        context = tokens[start:start + args.context]
        continuation = tokens[start + args.context:start + length]
        full = None
        for plan in plans:
            key = key_of(start, plan)
            if key in done:
                continue
            if full is None:
                full = run(args, full_plan, context, continuation)[0]
            try:
                log_p, stats = run(args, plan, context, continuation)
                record = {"key": key, **measure(log_p, full, continuation, stats)}
            except RuntimeError as error:
                print(f"failed: {error}", file=sys.stderr)
                continue
            done[key] = record
            with cache.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{key} kl {record['kl']:.5f}", file=sys.stderr)
    rows = []
    for plan in plans:
        records = [done[key_of(start, plan)] for start in starts if key_of(start, plan) in done]
        if len(records) == len(starts):
            rows.append((plan, records))
    return rows, starts


def mean(records, name):
    return sum(r[name] for r in records) / len(records)


def print_table(rows, starts, args):
    dense = None
    full = None
    for plan, records in rows:
        if plan == ("none", "f16", "f16"):
            dense = sum(mean_bytes(records).values())
            full = math.exp(mean(records, "nll"))
    print(f"{len(starts)} segments of {args.context} + {args.continuation} tokens; SIMD target "
          f"{rows[0][1][0]['simd']}.\n")
    print("| plan | keys, values | key values | masks | signs | scalars | values | bytes/token | of f16 "
          "| perplexity | KL | top-1 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for plan, records in rows:
        parts = mean_bytes(records)
        total = sum(parts.values())
        share = f"{total / dense:.3f}" if dense else "–"
        ppl = math.exp(mean(records, "nll"))
        change = f" ({(ppl / full - 1) * 100:+.1f} %)" if full else ""
        cells = " | ".join(f"{parts[k]:.0f}" for k in
                           ("key_values", "key_masks", "key_signs", "key_scalars", "values"))
        print(f"| `{plan[0]}` | {plan[1]}, {plan[2]} | {cells} | {total:.0f} | {share} | {ppl:.3f}{change} "
              f"| {mean(records, 'kl'):.4f} | {mean(records, 'agree'):.3f} |")
    if not full:
        return
    good = [(sum(mean_bytes(r).values()) / dense, p) for p, r in rows
            if math.exp(mean(r, "nll")) < 1.05 * full]
    for name, chosen in (("", [g for g in good if not evicts(g[1])]),
                         (" with eviction", [g for g in good if evicts(g[1])])):
        if chosen:
            share, plan = min(chosen)
            print(f"\nFewest bytes{name} at less than 5 % perplexity: `{plan[0]}`, keys {plan[1]}, "
                  f"values {plan[2]}: {share:.3f} of dense f16.")


def evicts(plan):
    return plan[0].split(":")[0] in ("snapkv", "pyramidkv", "streaming", "tova", "h2o", "expected",
                                     "knorm", "random")


def mean_bytes(records):
    """Bytes a token of the context, by part."""
    return {k: sum(r["bytes"][k] / r["tokens"] for r in records) / len(records)
            for k in records[0]["bytes"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--binary", default=str(ROOT / "build/release/bin/spark-generate"))
    parser.add_argument("--model", default="", help="default: the embedded one")
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int)
    parser.add_argument("--continuation", type=int, default=256)
    parser.add_argument("--segments", type=int, default=3)
    parser.add_argument("--start", type=int, default=0, help="first token of the first segment")
    parser.add_argument("--cache", default=str(ROOT / "build/results.jsonl"))
    args = parser.parse_args()
    args.context = args.context or (4096 if args.table == "plans" else 1024)
    rows, starts = collect(args, TABLES[args.table])
    print_table(rows, starts, args)


if __name__ == "__main__":
    main()
