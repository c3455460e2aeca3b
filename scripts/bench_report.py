"""Tables of what bench_peers.py measured, as Markdown."""

import datetime
import struct
from statistics import median

PEERS = ("llama.cpp", "ik_llama.cpp")
OURS = ("f16", "q8_0", "spark:0.8 f16", "spark:0.8 q8_0")


# ---- the model's shape ---------------------------------------------------------------------------

def read_gguf(path):
    """The numbers and strings of a GGUF file, without arrays; and the bytes of its tensors."""
    sizes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
             12: "d"}
    with open(path, "rb") as file:
        def number(form):
            return struct.unpack("<" + form, file.read(struct.calcsize(form)))[0]

        def string():
            return file.read(number("Q")).decode("utf-8", "replace")

        def value(kind):
            if kind == 8:
                return string()
            if kind == 9:
                inner, count = number("I"), number("Q")
                if inner == 8:
                    for _ in range(count):
                        file.seek(number("Q"), 1)
                else:
                    file.seek(count * struct.calcsize(sizes[inner]), 1)
                return None
            return number(sizes[kind])

        if file.read(4) != b"GGUF":
            return {}, {}
        number("I")
        n_tensors, n_values = number("Q"), number("Q")
        meta = {string(): value(number("I")) for _ in range(n_values)}
        offsets = {}
        for _ in range(n_tensors):
            name = string()
            file.seek(8 * number("I") + 4, 1)  # dimensions, type
            offsets[name] = number("Q")
        alignment = meta.get("general.alignment", 32)
        data = -(-file.tell() // alignment) * alignment
        starts = sorted(offsets.values()) + [file.seek(0, 2) - data]
        after = dict(zip(starts, starts[1:]))
        return meta, {name: after[start] - start for name, start in offsets.items()}


class Shape:
    def __init__(self, path):
        meta, tensors = read_gguf(path)
        arch = meta["general.architecture"]
        self.layers = meta[f"{arch}.block_count"]
        self.heads = meta[f"{arch}.attention.head_count"]
        self.dim = meta.get(f"{arch}.attention.key_length",
                            meta[f"{arch}.embedding_length"] // self.heads)
        self.window = meta.get(f"{arch}.attention.sliding_window")
        # What a decoded token reads: all, but the embeddings only where they are the output as well.
        self.weight_bytes = sum(tensors.values())
        if "output.weight" in tensors:
            self.weight_bytes -= tensors.get("token_embd.weight", 0)
        # Gemma 3: five layers with a window, then one without.
        self.windowed = sum((i + 1) % 6 != 0 for i in range(self.layers)) if arch == "gemma3" else 0

    def attention_flops(self, n):
        """Of reading n tokens: two products of D multiply-adds for every pair of tokens."""
        w = min(self.window or n, n)
        pairs = n * (n + 1) / 2
        in_window = w * (w + 1) / 2 + (n - w) * w
        return 4.0 * self.heads * self.dim * ((self.layers - self.windowed) * pairs
                                              + self.windowed * in_window)


# ---- figures -------------------------------------------------------------------------------------

class Results:
    def __init__(self, records):
        self.records = records

    def of(self, program, case, setting=None):
        return [r for r in self.records if r["program"] == program and r["case"] == case
                and setting in (None, r["setting"])]

    def rate(self, program, case, setting):
        rates = [median(r["rates"]) for r in self.of(program, case, setting) if "rates" in r]
        return median(rates) if rates else None

    def best(self, program, case):
        """(tokens a second, setting) of a peer's fastest setting."""
        names = {r["setting"] for r in self.of(program, case) if "rates" in r}
        return max(((self.rate(program, case, s), s) for s in names), default=(None, ""))

    def ours(self, key):
        """What every record of this project's says of its build or machine."""
        return next((r.get(key, "") for r in self.records
                     if r["program"] == "ours" and "cpu" in r), "")

    def cases(self, kind):
        numbers = {int(r["case"].split()[1]) for r in self.records if r["case"].startswith(kind)}
        return [f"{kind} {n}" for n in sorted(numbers)]

    def value(self, program, case, setting, key):
        found = [r[key] for r in self.of(program, case, setting) if r.get(key) is not None]
        return median(found) if found else None

    def machine(self, case):
        found = [r["value"] for r in self.records if r["program"] == "machine"
                 and r["case"] == case]
        return median(found) if found else None


def ratio(a, b):
    return f"{a / b:.2f}" if a and b else ""


def number(x, digits=1):
    return f"{x:.{digits}f}" if x else ""


def row(cells):
    return "| " + " | ".join(cells) + " |"


def rates_table(results):
    lines = [row(["tokens/s", *(f"ours, {o}" for o in OURS), *PEERS]), "|---" * 7 + "|"]
    for case in results.cases("prefill") + results.cases("decode"):
        ours = [results.rate("ours", case, o) for o in OURS]
        if case.startswith("prefill"):  # one pass for all plans: that of `none` counts
            ours = ours[:1] + [None] * 3
        peers = []
        for peer in PEERS:
            rate, setting = results.best(peer, case)
            peers.append(f"{rate:.1f} ({setting})" if rate else "")
        lines.append(row([case, *(number(o) for o in ours), *peers]))
    return lines


def ratios_table(results):
    lines = [row(["ratio", "f16 / best peer", "q8_0 / best peer", "spark:0.8 q8_0 / best peer",
                  "f16 / llama.cpp", "spark:0.8 q8_0 / llama.cpp", "spark:0.8 q8_0 / our f16"]),
             "|---" * 7 + "|"]
    for case in results.cases("prefill") + results.cases("decode"):
        rates = {o: results.rate("ours", case, o) for o in OURS}
        llama = results.best("llama.cpp", case)[0]
        best = max((results.best(p, case)[0] or 0 for p in PEERS)) or None
        dense, dense8, sparse = rates["f16"], rates["q8_0"], rates["spark:0.8 q8_0"]
        cells = [ratio(dense, best), ratio(dense8, best), ratio(sparse, best), ratio(dense, llama),
                 ratio(sparse, llama), ratio(sparse, dense)]
        if case.startswith("prefill"):
            cells = [cells[0], "", "", cells[3], "", ""]
        lines.append(row([case, *cells]))
    return lines


def bytes_table(results):
    depths = [c for c in results.cases("decode") if c != "decode 0"]
    heads = [f"KV MB at {c.split()[1]}" for c in depths]
    lines = [row(["", *heads, "of f16", "peak RSS, MB, 4096 tokens read"]),
             "|---" * (len(heads) + 3) + "|"]
    for setting in OURS:
        sizes = [results.value("ours", c, setting, "kv_bytes") for c in depths]
        dense = [results.value("ours", c, setting, "kv_bytes_f16") for c in depths]
        share = ratio(sizes[-1], dense[-1]) if depths else ""
        rss = results.value("ours", "rss", setting, "peak_rss_bytes")
        lines.append(row([f"ours, {setting}", *(number(s and s / 1e6) for s in sizes), share,
                          number(rss and rss / 1e6, 0)]))
    dense = [results.value("ours", c, "f16", "kv_bytes_f16") for c in depths]
    for peer in PEERS:
        for setting in ("fa 0, f16", "fa 1, f16", "fa 1, q8_0"):
            sizes = [results.value(peer, c, setting, "kv_bytes") for c in depths]
            rss = results.value(peer, "prefill 4096", setting, "peak_rss_bytes")
            if any(sizes):
                lines.append(row([f"{peer}, {setting}", *(number(s and s / 1e6) for s in sizes),
                                  ratio(sizes[-1], dense[-1]), number(rss and rss / 1e6, 0)]))
    return lines


def bytes_read(results, shape, case, setting):
    """Of a decoded token: weights, and the cache if its size is known."""
    if case == "decode 0":
        return shape.weight_bytes
    cache = results.value("ours", case, setting, "kv_bytes")
    return cache and shape.weight_bytes + cache


def limits_table(results, shape, threads):
    """How fast decoding would be if it did nothing but read what it has to."""
    read = results.machine(f"Probe/read/T:{threads}")
    lines = [row(["", "MB read a token", "tokens/s that memory allows", "reached", "share"]),
             "|---" * 5 + "|"]
    for case in results.cases("decode"):
        for setting in OURS[:1] if case == "decode 0" else OURS:
            size = bytes_read(results, shape, case, setting)
            rate = results.rate("ours", case, setting)
            if size and rate and read:
                most = read / size
                lines.append(row([f"{case}, {setting}", number(size / 1e6), number(most),
                                  number(rate), f"{100 * rate / most:.0f} %"]))
    return lines


def goals_table(results, shape, threads):
    """The goals of this project's issue on speed, what was reached, and for decoding what memory
    would allow against the same peer."""
    lines = [row(["goal", "at least", "reached", "memory allows"]), "|---" * 4 + "|"]
    read = results.machine(f"Probe/read/T:{threads}")

    def add(text, least, reached, most=None):
        met = "" if reached is None else f"{reached:.2f}{'' if reached >= least else ' ✗'}"
        lines.append(row([text, f"{least}", met, number(most, 2)]))

    def against(case, setting, programs):
        """(what was reached, what memory allows)"""
        best = max((results.best(p, case)[0] or 0 for p in programs))
        own = results.rate("ours", case, setting)
        if not own or not best:
            return None, None
        size = bytes_read(results, shape, case, setting) if case.startswith("decode") else None
        return own / best, read / size / best if read and size else None

    for n in (512, 4096):
        add(f"prefill {n} / best peer", 1.2, *against(f"prefill {n}", "f16", PEERS))
    depths = [int(c.split()[1]) for c in results.cases("decode")]
    for depth in depths:
        least = {0: 1.1, 4096: 1.5}.get(depth, 2)
        add(f"decode {depth}, f16 / best peer", least, *against(f"decode {depth}", "f16", PEERS))
    # With windows, weights are most of what a token reads, whatever the depth: no goals there.
    if max(depths, default=0) <= 4096 or shape.windowed:
        return lines
    deep, sparse = f"decode {max(depths)}", "spark:0.8 q8_0"
    far = max(depths) >= 32768
    add(f"{deep}, {sparse} / best peer", 5 if far else 4, *against(deep, sparse, PEERS))
    add(f"{deep}, {sparse} / llama.cpp", 7 if far else 4, *against(deep, sparse, PEERS[:1]))
    ours = [results.rate("ours", deep, s) for s in (sparse, "f16")]
    add(f"{deep}, {sparse} / our f16", 2, ours[0] / ours[1] if all(ours) else None)
    wide = results.ours("simd").startswith("AVX3")  # AVX-512
    for setting in ("f16", sparse):
        speed = reading_speed(results, setting)
        add(f"attention, {setting}: share of read bandwidth", 0.6 if wide else 0.4,
            speed and read and speed / read)
    return lines


def fit(xs, ys):
    """Least squares of y = a + b x: (a, b, R²)."""
    n, mx, my = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
    sxx = sum((x - mx)**2 for x in xs)
    b = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sxx
    a = my - b * mx
    rest = sum((y - a - b * x)**2 for x, y in zip(xs, ys))
    total = sum((y - my)**2 for y in ys)
    return a, b, 1 - rest / total if n > 2 and total > 0 else float("nan")


def time_per_token(results, program, setting):
    """[(depth, seconds)]"""
    rates = {int(c.split()[1]): results.rate(program, c, setting) for c in results.cases("decode")}
    return [(depth, 1 / rate) for depth, rate in rates.items() if rate]


def reading_speed(results, setting):
    """Bytes of the cache a second that decoding reads: how bytes and time grow with depth."""
    times = time_per_token(results, "ours", setting)
    sizes = {int(c.split()[1]): results.value("ours", c, setting, "kv_bytes")
             for c in results.cases("decode")}
    sizes = [(depth, size) for depth, size in sizes.items() if size]
    if len(times) < 3 or len(sizes) < 2:
        return None
    return fit(*zip(*sizes))[1] / fit(*zip(*times))[1]


def growth_table(results, threads):
    """Time per decoded token over depth. The cache's bytes over the slope are the rate at which
    attention reads them; not for peers, which may hold tokens that they do not read."""
    read = results.machine(f"Probe/read/T:{threads}")
    lines = [row(["time per token", "ms at 0", "µs per 1000 tokens", "R²", "GB/s of KV",
                  "of what memory gives"]), "|---" * 6 + "|"]
    rows = [("ours", o) for o in OURS] + [(p, s) for p in PEERS for s in sorted(
        {r["setting"] for r in results.records if r["program"] == p})]
    for program, setting in rows:
        points = time_per_token(results, program, setting)
        if len(points) < 3:
            continue
        a, b, r2 = fit(*zip(*points))
        speed = reading_speed(results, setting) if program == "ours" else None
        lines.append(row([f"{program}, {setting}", number(1e3 * a, 2), number(1e9 * b), f"{r2:.4f}",
                          number(speed and speed / 1e9),
                          f"{100 * speed / read:.0f} %" if speed and read else ""]))
    return lines


def prefill_lines(results, shape, threads):
    """Two lengths tell what grows with the tokens and what with the pairs of them."""
    lines = []
    compress = [(c, results.value("ours", c, s, "compress_share"), s)
                for c in results.cases("prefill") for s in ("spark:0.8 f16", "spark:0.8 q8_0")]
    text = "; ".join(f"{c} [{s}] {100 * x:.1f} %" for c, x, s in compress if x is not None)
    lines.append(f"Compression, share of prefill and compression: {text}.")
    short, long = (results.rate("ours", f"prefill {n}", "f16") for n in (512, 4096))
    if short and long:
        f1, f2 = shape.attention_flops(512), shape.attention_flops(4096)
        t1, t2 = 512 / short, 4096 / long
        per_flop = (t2 - 8 * t1) / (f2 - 8 * f1)
        peak = results.machine("Probe/fma/T:1")
        of_peak = (f", {100 / per_flop / peak / threads:.0f} % of the f32 multiply-adds that "
                   f"{threads} threads reach" if peak and per_flop > 0 else "")
        if per_flop > 0:
            lines.append(f"Attention in prefill, from both lengths: {100 * per_flop * f1 / t1:.0f} % "
                         f"of the time at 512, {100 * per_flop * f2 / t2:.0f} % at 4096; "
                         f"{1e-9 / per_flop:.0f} GFLOP/s{of_peak}.")
        else:
            lines.append("Attention in prefill: less than the two lengths can tell.")
    return lines


def has_instructions(text):
    flags = dict(part.split(" = ") for part in text.replace("CPU : ", "").split(" | ")
                 if " = " in part)
    known = ("AVX512_VNNI", "AVX512", "AVX_VNNI", "AVX2", "NEON")
    return next((k for k in known if flags.get(k, "0").strip() == "1"), "no vectors")


def report(records, model, threads):
    results = Results(records)
    rounds = 1 + max((r["turn"] for r in records), default=0)
    built = {p: has_instructions(next((r["system"] for r in records if r["program"] == p
                                       and "system" in r), "")) for p in PEERS}
    read = results.machine(f"Probe/read/T:{threads}")
    lines = [f"### {model.name}", "",
             f"{datetime.date.today()}, {results.ours('cpu')}, {threads} threads, reads "
             f"{number(read and read / 1e9)} GB/s; medians of {rounds} rounds in turn. Ours "
             f"{results.ours('version')} ({results.ours('simd')}); llama.cpp built here "
             f"({built['llama.cpp']}); ik_llama.cpp prebuilt ({built['ik_llama.cpp']}).", ""]
    shape = Shape(model)
    for table in (rates_table(results), ratios_table(results), bytes_table(results),
                  growth_table(results, threads), limits_table(results, shape, threads),
                  goals_table(results, shape, threads)):
        lines += table + [""]
    return "\n".join(lines + prefill_lines(results, shape, threads)) + "\n"
