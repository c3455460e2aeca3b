#!/usr/bin/env python3
"""Resident memory of a command while it runs: a sample every --every seconds, then a summary.

    scripts/rss_curve.py build/release/bin/spark-generate -p hello -n 100000 --ignore-eos \\
        -c 100200 --decode-interval 128 --kv 'snapkv:n=1024+spark:0.8'

The command's stdout is counted and thrown away. Linux only.
"""
import argparse
import subprocess
import threading
import time


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    process = subprocess.Popen(args.command, stdout=subprocess.PIPE)
    written = [0]

    def drain():
        while chunk := process.stdout.read1(65536):
            written[0] += len(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    start = time.time()
    samples = []
    while process.poll() is None:
        mib = rss_mib(process.pid)
        if mib:
            samples.append((time.time() - start, written[0], mib))
        time.sleep(args.every)
    reader.join()
    total = written[0]
    print("share of the output | seconds | RSS, MiB")
    shown = -1
    for seconds, out, mib in samples:
        if total and out * 20 // total > shown:
            shown = out * 20 // total
            print(f"{out / total:19.2f} | {seconds:7.1f} | {mib:.1f}")
    warm = [m for s, o, m in samples if o > 0.1 * total]
    if warm:
        print(f"after the first tenth: {min(warm):.1f} to {max(warm):.1f} MiB, last {warm[-1]:.1f}")
    raise SystemExit(process.returncode)


if __name__ == "__main__":
    main()
