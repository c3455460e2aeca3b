#!/usr/bin/env python3
"""Runs spark-bench once a SIMD target and prints a Markdown table: bytes a second, their share of
what the machine's memory gives in the same run, nanoseconds a token and KV head.

    scripts/bench_kernels.py [--filter 'Attend/.*T:2/memory'] [--targets AVX3_ZEN4,AVX2]
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measure(args, target):
    command = args.wrap.split() + [args.binary, f"--simd-target={target}",
                                   f"--threads={args.threads}", "--benchmark_format=json",
                                   f"--benchmark_filter=Probe|{args.filter}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    data = json.loads(out[out.index("{"):])
    return data["context"]["simd_target"], {b["name"].rsplit("/", 1)[0]: b
                                            for b in data["benchmarks"]}


def cell(b):
    if b is None:
        return ""
    parts = [f"{b['bytes/s'] / 1e9:.1f} GB/s, {100 * b['of_read']:.0f} %"] if "of_read" in b else []
    if "s/token" in b:
        parts.append(f"{1e9 * b['s/token']:.1f} ns")
    if "flops/s" in b:
        parts.append(f"{b['flops/s'] / 1e9:.0f} GFLOP/s")
    return ", ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/bench/bin/spark-bench"))
    parser.add_argument("--filter", default="Attend/.*T:2/memory")
    parser.add_argument("--targets", default="auto", help="comma list; auto: the machine's best")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wrap", default="", help="command in front of every run")
    args = parser.parse_args()

    runs = dict(measure(args, target) for target in args.targets.split(","))
    print("| kernel | " + " | ".join(runs) + " |")
    print("|---" * (1 + len(runs)) + "|")
    probe = f"Probe/read/T:{args.threads}"
    print(f"| `{probe}` | " + " | ".join(f"{r[probe]['bytes/s'] / 1e9:.1f} GB/s"
                                         for r in runs.values()) + " |")
    for name in next(iter(runs.values())):
        if not name.startswith("Probe"):
            print(f"| `{name}` | " + " | ".join(cell(r.get(name)) for r in runs.values()) + " |")


if __name__ == "__main__":
    main()
