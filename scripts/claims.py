#!/usr/bin/env python3
"""The two headline claims of the paper (SparK, arXiv 2508.15212), measured by spark-sweep:

(a) with four of five key channels pruned behind an eviction method, quality is within 5 % of
    eviction alone, where structured pruning (ThinK) breaks down;
(b) the cache takes more than 30 % less than that of eviction alone at equal length.

    scripts/claims.py --model models/smollm2.gguf --text FILE

prints a Markdown table. Results stay in the folder --out: what is there is not measured again.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RATIOS = (0.5, 0.8)  # tokens removed, channels removed


def plans(layers: str) -> list[tuple[str, str]]:
    """(plan, eviction alone to compare it with)"""
    option = f"[layers={layers}]" if layers != "global" else ""
    rows = []
    for evicted in RATIOS:
        alone = f"snapkv:{evicted}"
        rows.append((alone, alone))
        for method in ("spark", "think"):
            rows += [(f"{alone}+{method}:{pruned}{option}", alone) for pruned in RATIOS]
    return rows


def measure(args: argparse.Namespace, rows: list[tuple[str, str]]) -> dict[str, dict]:
    command = [args.binary, "-m", args.model, "--text", args.text, "--task", "nll",
               "--context", str(args.context), "--samples", str(args.samples),
               "--compute", "f32", "-o", args.out, "--kv", ",".join(plan for plan, _ in rows)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    with open(pathlib.Path(args.out) / "results.jsonl", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {r["kv"]: r for r in records if r["status"] == "ok" and r["task"] == "nll"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/bin/spark-sweep"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--layers", choices=("global", "all"), default="global",
                        help="whether channels are pruned in layers with a sliding window too")
    parser.add_argument("--out", required=True, help="folder for the sweep's results")
    args = parser.parse_args()

    rows = plans(args.layers)
    records = measure(args, rows)
    none = records["none"]
    print(f"{none['model']}, {args.samples} segments of {args.context} + 256 tokens, f32 arithmetic, "
          f"f16 stores, SIMD target {none['simd_target']}.\n")
    print("| plan | bytes/token | against eviction alone | perplexity | against eviction alone | KL |")
    print("|---|---|---|---|---|---|")
    print(f"| `none` | {none['kv_bytes_per_token']:.0f} | | {none['perplexity']:.3f} | | 0 |")
    for plan, alone in rows:
        record, base = records[plan], records[alone]
        fewer = loss = ""
        if plan != alone:
            fewer = f"{100 * (record['kv_bytes_per_token'] / base['kv_bytes_per_token'] - 1):+.1f} %"
            loss = f"{100 * (record['perplexity'] / base['perplexity'] - 1):+.1f} %"
        print(f"| `{plan}` | {record['kv_bytes_per_token']:.0f} | {fewer} | {record['perplexity']:.3f} | "
              f"{loss} | {record['kl']:.4f} |")


if __name__ == "__main__":
    main()
