#!/usr/bin/env python3
"""One measurement of llama.cpp or ik_llama.cpp, driven through their C API; prints one line of JSON.

    bench_peer.py llama --bindings DIR --library DIR --model FILE [--fa 1] [-ctk q8_0] --prefill 4096
    bench_peer.py ik --bindings DIR --model FILE --depth 16384

--prefill N times the reading of N random tokens. --depth N decodes tokens behind N that are in the
cache: tokens are read for real up to --read, then what the cache holds of them is repeated (the
state of the sequence is taken out, lengthened and put back), because reading 32768 tokens takes
these programs minutes and decoding takes the same time whatever the cache holds. The layout of a
state is that of the versions which scripts/bench-peers.sh fetches; of another layout nothing is
guessed: all tokens are read then, and "filled" says so. Linux only.
"""

import argparse
import ctypes
import importlib
import json
import random
import struct
import sys
import time
import types

TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}  # ggml_type
COMPACT_MAGIC_CELLS = 1 << 24  # no cache has so many: such a number is not a count of cells


def memory_kib(field):
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1])
    return 0


# ---- the state of a sequence -------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError("the state ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def unpack(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))


def repeated(rows, row_bytes, n, n_out, out):
    """The rows of n tokens, again and again until there are n_out."""
    times, rest = divmod(n_out, n)
    out += bytes(rows) * times + bytes(rows[:rest * row_bytes])


def lengthen_cache(reader, depth, out):
    """One cache of a state: its cells become `depth`, or stay as many and move to the end if they
    are a window. Returns the bytes that keys and values of the cells take."""
    (cells,) = reader.unpack("I")
    if not 0 < cells < COMPACT_MAGIC_CELLS:
        raise ValueError("no count of cells")
    metas = []
    for _ in range(cells):
        position, n_ids = reader.unpack("iI")
        if n_ids > 1:
            raise ValueError("cells of several sequences")
        metas.append((position, n_ids, reader.unpack("i" * n_ids)))
    first, last = metas[0][0], metas[-1][0]
    if [m[0] for m in metas] != list(range(first, last + 1)):
        raise ValueError("cells out of order")
    window = first > 0
    n_out = cells if window else depth
    out += struct.pack("<I", n_out)
    for i in range(n_out):
        _, n_ids, ids = metas[i % cells]
        out += struct.pack(f"<iI{n_ids}i", depth - n_out + i, n_ids, *ids)
    transposed, layers = reader.unpack("II")
    if transposed > 1 or layers > 1024:
        raise ValueError("no header of layers")
    out += struct.pack("<II", transposed, layers)
    total = 0
    for values in (False, True):
        for _ in range(layers):
            if values and transposed:
                kind, element, width = reader.unpack("iII")
                out += struct.pack("<iII", kind, element, width)
                for _ in range(width):
                    repeated(reader.take(cells * element), element, cells, n_out, out)
                total += width * n_out * element
            else:
                kind, row = reader.unpack("iQ")
                out += struct.pack("<iQ", kind, row)
                if row > 1 << 24:
                    raise ValueError("no size of a row")
                repeated(reader.take(cells * row), row, cells, n_out, out)
                total += n_out * row
    return total


def lengthen_llama(state, depth):
    """magic, sequence, then caches (of all layers, or of those without and with a window), each
    behind its number of streams."""
    reader, out, total = Reader(state), bytearray(), 0
    out += reader.take(8)
    while reader.at < len(state):
        (streams,) = reader.unpack("I")
        if streams != 1:
            raise ValueError("several streams")
        out += struct.pack("<I", streams)
        total += lengthen_cache(reader, depth, out)
    return out, total


def lengthen_ik(state, depth):
    """One cache for all layers, windows or not; then what is not about tokens."""
    reader, out = Reader(state), bytearray()
    total = lengthen_cache(reader, depth, out)
    if len(state) - reader.at > 1 << 16:
        raise ValueError("more than a cache")
    out += reader.take(len(state) - reader.at)
    return out, total


# ---- the two libraries ---------------------------------------------------------------------------

def load_bindings(folder, package, module, library):
    """The package's ctypes module alone: the rest of it wants more packages than we need."""
    stub = types.ModuleType(package)
    stub.__path__ = [f"{folder}/{package}"]
    sys.modules[package] = stub
    try:
        importlib.import_module("typing_extensions")
    except ImportError:
        sys.modules["typing_extensions"] = importlib.import_module("typing")
    if library:
        import os
        os.environ["LLAMA_CPP_LIB_PATH"] = library
    return importlib.import_module(f"{package}.{module}")


class Peer:
    """A model and a context. `api`: the bindings, whose structures are those of the library."""

    def __init__(self, args, api):
        self.api, self.lib, self.args = api, api._lib, args
        self.log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
            lambda level, text, data: None if args.quiet else sys.stderr.write(text.decode()))
        self.call("llama_log_set", None, self.log, None)
        api.llama_backend_init()
        model_params = api.llama_model_default_params()
        self.set_model(model_params)
        self.model = api.llama_model_load_from_file(args.model.encode(), model_params)
        if not self.model:
            raise SystemExit(f"bench_peer.py: {args.model} could not be loaded")
        params = api.llama_context_default_params()
        params.n_ctx = (max(args.prefill, args.depth + 512) + 255) // 256 * 256
        params.n_batch, params.n_ubatch = 2048, args.ubatch
        params.n_threads = params.n_threads_batch = args.threads
        params.type_k, params.type_v = TYPES[args.ctk], TYPES[args.ctv]
        self.set_context(params)
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("bench_peer.py: no context with these settings")
        vocab = api.llama_model_get_vocab(self.model)
        self.vocab_size = api.llama_vocab_n_tokens(vocab)

    def call(self, name, restype, *arguments):
        function = getattr(self.lib, name)
        function.restype, function.argtypes = restype, None
        return function(*arguments)

    def set_model(self, params):
        params.n_gpu_layers = 0

    def system_info(self):
        return self.call("llama_print_system_info", ctypes.c_char_p).decode()

    def feed(self, ids):
        for at in range(0, len(ids), 2048):
            part = ids[at:at + 2048]
            tokens = (ctypes.c_int32 * len(part))(*part)
            if self.api.llama_decode(self.context, self.batch(tokens)) != 0:
                raise SystemExit("bench_peer.py: llama_decode failed")
        self.position += len(ids)
        self.call("llama_synchronize", None, ctypes.c_void_p(self.context))

    def state(self):
        context = ctypes.c_void_p(self.context)
        size = self.call("llama_state_seq_get_size", ctypes.c_size_t, context, 0, 0)
        buffer = (ctypes.c_uint8 * size)()
        got = self.call("llama_state_seq_get_data", ctypes.c_size_t, context, buffer,
                        ctypes.c_size_t(size), 0, 0)
        return bytes(buffer)[:got]

    def set_state(self, state):
        view = (ctypes.c_uint8 * len(state)).from_buffer(state)
        got = self.call("llama_state_seq_set_data", ctypes.c_size_t, ctypes.c_void_p(self.context),
                        view, ctypes.c_size_t(len(state)), 0, 0)
        if got != len(state):
            raise SystemExit("bench_peer.py: the lengthened state was refused")


class Llama(Peer):
    lengthen = staticmethod(lengthen_llama)

    def set_context(self, params):
        params.flash_attn_type = self.args.fa  # 0 and 1 are off and on
        params.no_perf = True
        self.position = 0

    def batch(self, tokens):
        return self.api.llama_batch_get_one(tokens, len(tokens))

    def cut(self, n):
        memory = self.call("llama_get_memory", ctypes.c_void_p, ctypes.c_void_p(self.context))
        self.call("llama_memory_seq_rm", ctypes.c_bool, ctypes.c_void_p(memory), 0, n, -1)
        self.position = n


class Ik(Peer):
    lengthen = staticmethod(lengthen_ik)

    def set_model(self, params):
        super().set_model(params)
        params.repack_tensors = bool(self.args.repack)

    def set_context(self, params):
        params.flash_attn = bool(self.args.fa)
        self.position = 0

    def batch(self, tokens):
        get_one = self.lib.llama_batch_get_one
        get_one.restype = self.api.llama_batch
        get_one.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
        return get_one(ctypes.addressof(tokens), len(tokens), self.position, 0)

    def cut(self, n):
        self.call("llama_kv_cache_seq_rm", ctypes.c_bool, ctypes.c_void_p(self.context), 0, n, -1)
        self.position = n


# ---- what is measured ----------------------------------------------------------------------------

def prefill_rates(peer, ids):
    peer.feed(ids[:64])  # warms up
    rates = []
    for _ in range(1 if len(ids) > 1024 else 2):
        peer.cut(0)
        start = time.perf_counter()
        peer.feed(ids)
        rates.append(len(ids) / (time.perf_counter() - start))
    return rates


def reach(peer, ids, args):
    """Fills the cache with `depth` tokens; returns how, and the bytes that they take."""
    read = min(args.read, args.depth)
    peer.feed(ids[:read])
    filled = "repeated" if read < args.depth else "read"
    try:
        longer, total = peer.lengthen(peer.state(), args.depth)
    except ValueError as error:
        sys.stderr.write(f"bench_peer.py: state not understood ({error}): reading all tokens\n")
        peer.feed(ids[read:args.depth])
        return "read", None
    if read < args.depth:
        peer.cut(0)
        peer.set_state(longer)
        peer.position = args.depth
    return filled, total


def decode_rate(peer, depth, ids):
    """Tokens a second of single tokens behind `depth`, as spark-sweep measures them."""
    peer.cut(depth)
    start = time.perf_counter()
    for token in ids:
        peer.feed([token])
    return len(ids) / (time.perf_counter() - start)


def decode_rates(peer, ids, args):
    warm = decode_rate(peer, args.depth, ids[:8])
    n = max(8, min(128, int(0.2 * warm)))
    return [decode_rate(peer, args.depth, ids[:n]) for _ in range(args.repeat)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("llama", "ik"))
    parser.add_argument("--bindings", required=True, help="folder with the Python package")
    parser.add_argument("--library", help="folder of libllama.so, if not the package's own")
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fa", type=int, choices=(0, 1), default=1, help="flash attention")
    parser.add_argument("-ctk", choices=TYPES, default="f16")
    parser.add_argument("-ctv", choices=TYPES, default="f16")
    parser.add_argument("--ubatch", type=int, default=512)
    parser.add_argument("--repack", type=int, choices=(0, 1), default=0,
                        help="ik: weights interleaved as they are loaded")
    parser.add_argument("--prefill", type=int, default=0)
    parser.add_argument("--depth", type=int, default=-1)
    parser.add_argument("--read", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--verbose", dest="quiet", action="store_false")
    args = parser.parse_args()
    if (args.prefill > 0) == (args.depth >= 0):
        parser.error("either --prefill or --depth")

    if args.peer == "llama":
        api = load_bindings(args.bindings, "llama_cpp", "llama_cpp", args.library)
    else:
        api = load_bindings(args.bindings, "ik_llama_cpp", "_ctypes_api", None)
    before_kib = memory_kib("VmRSS")  # Python itself does not count
    peer = (Llama if args.peer == "llama" else Ik)(args, api)
    draw = random.Random(1)
    ids = [draw.randrange(peer.vocab_size) for _ in range(max(args.prefill, args.depth, 512))]
    result = {"peer": args.peer, "system": peer.system_info()}
    if args.prefill:
        result["rates"] = prefill_rates(peer, ids)
        result["peak_rss_bytes"] = 1024 * (memory_kib("VmHWM") - before_kib)
    else:
        if args.depth > 0:
            result["filled"], result["kv_bytes"] = reach(peer, ids, args)
        result["rates"] = decode_rates(peer, ids, args)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
