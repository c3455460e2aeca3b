#!/usr/bin/env python3
"""Runs this project, llama.cpp and ik_llama.cpp in turn on the same file; scripts/bench-peers.sh
calls it and explains what is measured. Every run is a process of its own. Results are kept as they
come, so that a run which was interrupted goes on where it was."""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from statistics import median

import bench_report

HERE = pathlib.Path(__file__).resolve().parent
OURS = {"f16": ("none", "f16"), "q8_0": ("none", "q8_0"),
        "spark:0.8 f16": ("spark:0.8", "f16"), "spark:0.8 q8_0": ("spark:0.8", "q8_0")}
# Flash attention, types of keys and values, weights repacked (ik_llama.cpp; llama.cpp always does).
PEER_SETTINGS = {"fa 0, f16": (0, "f16", "f16", 0), "fa 1, f16": (1, "f16", "f16", 0),
                 "fa 0, K q8_0": (0, "q8_0", "f16", 0), "fa 1, q8_0": (1, "q8_0", "q8_0", 0),
                 "fa 1, f16, repacked": (1, "f16", "f16", 1)}
READ = 1024        # tokens of a deep context that are read, the rest are copies of them
DROPPED_BELOW = 0.65  # a setting this far behind its program's best is not measured again


def say(text):
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def settings_of(peer, case):
    kind, n = case.split()
    names = ["fa 0, f16", "fa 1, f16"]
    ik = peer == "ik_llama.cpp"
    if kind == "decode" and int(n) > 0:
        names += ["fa 1, q8_0", "fa 0, K q8_0"]
    if kind == "prefill" and ik:  # llama.cpp took 2 to 4 times as long with it
        names.append("fa 1, q8_0")
    if ik and (kind == "prefill" or int(n) == 0):
        names.append("fa 1, f16, repacked")
    return names


class Bench:
    def __init__(self, args, model, store):
        self.args, self.model, self.store = args, model, store
        self.records = store.read()
        self.bin = pathlib.Path(args.bin)

    def has(self, key):
        return any(all(r.get(k) == v for k, v in key.items()) for r in self.records)

    def add(self, record):
        self.records.append(record)
        self.store.append(record)

    def run(self, command):
        """stdout of a run; raises RuntimeError with the last line of stderr."""
        command = self.args.wrap.split() + [str(part) for part in command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip() or f"exit {done.returncode}").split("\n")[-1])
        return done.stdout

    # ---- ours ----

    def sweep(self, cache_type, depths):
        """Records of `none` and `spark:0.8` at these depths."""
        folder = tempfile.mkdtemp(prefix="sweep.", dir=self.store.folder)
        try:
            self.run([self.bin / "spark-sweep", "-m", self.model, "--kv", "spark:0.8", "--task",
                      "speed", "-t", self.args.threads, "-ctk", cache_type, "-ctv", cache_type,
                      "--depth", ",".join(str(max(1, d)) for d in depths), "--depth-read",
                      READ if min(depths) > 4096 else 0, "-o", folder])
            with open(f"{folder}/results.jsonl", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines]
        finally:
            shutil.rmtree(folder)

    def measure_ours(self, turn, cache_type, depths, cases):
        key = {"turn": turn, "program": "ours", "case": cases[-1]}
        names = [name for name, (_, kind) in OURS.items() if kind == cache_type]
        if self.has(key | {"setting": names[0]}):
            return
        for record in self.sweep(cache_type, depths):
            name = next(n for n in names if OURS[n][0] == record["kv"])
            if record["status"] != "ok":
                raise RuntimeError(record["error"])
            for entry in record["speed"]:
                depth = entry["depth"] if entry["depth"] > 1 else 0
                shared = {"turn": turn, "program": "ours", "setting": name,
                          "model": record["model"], "cpu": record["cpu"],
                          "simd": record["simd_target"], "version": record["version"]}
                if f"prefill {depth}" in cases:
                    self.add(shared | {"case": f"prefill {depth}",
                                       "rates": [entry["prefill_tokens_per_second"]],
                                       "compress_share": entry["compress_share"]})
                if f"decode {depth}" in cases:
                    last = entry is record["speed"][-1]
                    self.add(shared | {"case": f"decode {depth}",
                                       "rates": [entry["decode_tokens_per_second"]],
                                       "kv_bytes": record["kv_bytes"]["total"] if last else None,
                                       "kv_bytes_f16": record["kv_bytes_dense_f16"] if last else
                                       None})
        say("  ours: " + self.rates_text(turn, "ours", cases, names))

    def measure_rss(self, depth):
        """Peak memory of reading `depth` tokens, each plan in a process of its own."""
        draw = random.Random(1)
        vocab = 30000
        ids = ",".join(str(draw.randrange(vocab)) for _ in range(depth))
        for name, (plan, kind) in OURS.items():
            key = {"program": "ours", "case": "rss", "setting": name}
            if self.has(key):
                continue
            ids_file = self.store.folder / "ids.txt"
            ids_file.write_text(ids, encoding="ascii")
            command = ["bash", "-c", '"$1" -m "$2" --kv "$3" -ctk "$4" -ctv "$4" -t "$5" -n 8 '
                       '--ignore-eos --stats json --prompt-ids "$(cat "$6")" 2>&1 >/dev/null',
                       "rss", self.bin / "spark-generate", self.model, plan, kind,
                       self.args.threads, ids_file]
            stats = json.loads(self.run(command).strip().split("\n")[-1])
            self.add(key | {"turn": 0, "peak_rss_bytes": stats["peak_rss_bytes"]})

    # ---- peers ----

    def peer_command(self, peer, setting):
        fa, k, v, repack = PEER_SETTINGS[setting]
        command = [sys.executable, HERE / "bench_peer.py", "llama" if peer == "llama.cpp" else "ik",
                   "--model", self.model, "--threads", self.args.threads, "--fa", fa, "-ctk", k,
                   "-ctv", v, "--repack", repack, "--read", READ]
        if peer == "llama.cpp":
            return command + ["--bindings", self.args.llama_bindings, "--library",
                              self.args.llama_library]
        return command + ["--bindings", self.args.ik]

    def worth(self, peer, setting, case):
        """Whether a setting may still be the program's best."""
        known = [r for r in self.records if r["program"] == peer and r["case"] == case]
        if any(r["setting"] == setting and "error" in r for r in known):
            return False
        best = max((median(r["rates"]) for r in known if "rates" in r), default=0)
        own = [x for r in known if r["setting"] == setting for x in r.get("rates", [])]
        return not own or median(own) >= DROPPED_BELOW * best

    def measure_peer(self, turn, peer, case):
        kind, n = case.split()
        for setting in settings_of(peer, case):
            key = {"turn": turn, "program": peer, "case": case, "setting": setting}
            if self.has(key) or (turn > 0 and not self.worth(peer, setting, case)):
                continue
            try:
                flag = "--prefill" if kind == "prefill" else "--depth"
                out = self.run(self.peer_command(peer, setting) + [flag, n])
                self.add(key | json.loads(out))
            except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                say(f"  {peer}, {setting}, {case}: {error}")
                self.add(key | {"error": str(error)})
        say(f"  {peer}: " + self.rates_text(turn, peer, [case]))

    def rates_text(self, turn, program, cases, settings=PEER_SETTINGS):
        found = [r for r in self.records if r["turn"] == turn and r["program"] == program
                 and r["case"] in cases and r["setting"] in settings and "rates" in r]
        return "; ".join(f"{r['case']} [{r['setting']}] {median(r['rates']):.1f}" for r in found)

    # ---- all ----

    def probe(self, turn):
        if self.has({"program": "machine", "turn": turn}):
            return
        out = self.run([self.bin / "spark-bench", f"--threads={self.args.threads}",
                        "--benchmark_filter=Probe", "--benchmark_format=json"])
        for b in json.loads(out[out.index("{"):])["benchmarks"]:
            self.add({"turn": turn, "program": "machine", "case": b["name"].removesuffix("/real_time"),
                      "setting": "", "value": b.get("bytes/s", b.get("flops/s"))})

    def measure(self):
        depths = self.args.depths
        shallow = [d for d in depths if d <= 4096]
        groups = [(sorted({*shallow, 512, 4096}),
                   ["prefill 512", "prefill 4096"] + [f"decode {d}" for d in shallow])]
        groups += [([d], [f"decode {d}"]) for d in depths if d > 4096]
        for turn in range(self.args.rounds):
            self.probe(turn)
            for group_depths, cases in groups:
                say(f"{pathlib.Path(self.model).name}, round {turn + 1} of {self.args.rounds}: "
                    + ", ".join(cases))
                for cache_type in ("f16", "q8_0"):
                    self.measure_ours(turn, cache_type, group_depths, cases)
                for case in cases:
                    for peer in ("llama.cpp", "ik_llama.cpp"):
                        self.measure_peer(turn, peer, case)
            if turn == 0:
                self.measure_rss(4096)


class Store:
    """The results of one model and one build of ours: build/peers/NAME-HASH.jsonl."""

    def __init__(self, folder, model, args):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = hashlib.sha256()
        libraries = sorted(pathlib.Path(args.bin).parent.glob("lib/libspark.so*"))
        for file in [pathlib.Path(args.bin) / "spark-sweep", *libraries, HERE / "bench_peer.py"]:
            mark.update(file.read_bytes())
        mark.update(f"{model.stat().st_size} {args.threads}".encode())
        self.path = self.folder / f"{model.stem}-{mark.hexdigest()[:12]}.jsonl"
        if args.fresh:
            self.path.unlink(missing_ok=True)

    def read(self):
        if not self.path.exists():
            return []
        with open(self.path, encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [r for r in records if "error" not in r]  # what failed is tried again

    def append(self, record):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--llama-bindings", required=True)
    parser.add_argument("--llama-library", required=True)
    parser.add_argument("--ik", required=True)
    parser.add_argument("--out", default="build/peers")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--depths", help="0,4096,16384,32768")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wrap", default="", help="command in front of every run")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 3)
    depths = args.depths or ("0,4096" if args.quick else "0,4096,16384,32768")
    args.depths = sorted(int(d) for d in depths.split(","))
    try:
        for model in args.models:
            store = Store(args.out, model, args)
            bench = Bench(args, str(model), store)
            start = time.time()
            if not args.report:
                bench.measure()
                say(f"{model.name}: {(time.time() - start) / 60:.1f} minutes; kept in {store.path}")
            print(bench_report.report(bench.records, model, args.threads), flush=True)
    except (RuntimeError, OSError) as error:
        say(f"{error}; the same command goes on from here")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        sys.exit(130)


if __name__ == "__main__":
    main()
