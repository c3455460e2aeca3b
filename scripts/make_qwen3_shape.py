#!/usr/bin/env python3
"""Writes a GGUF with random weights of Qwen3-0.6B's shape: 28 layers, 16 heads, 8 KV heads of 128
channels. Speed does not depend on what weights hold, so it measures what the model would.

    make_qwen3_shape.py OUT.gguf [--type q8_0|q4_0] [--vocab 32768]

The vocabulary is cut (Qwen's has 151936 tokens); its tokenizer is a byte-level BPE of all bytes and
some pairs of them, which llama.cpp, ik_llama.cpp and this runtime load. Needs numpy and the `gguf`
package: scripts/gguf-twins.sh makes a virtual environment with both, .cache/gguf-venv.
"""

import argparse
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM = 28, 1024, 3072, 16, 8, 128
TYPES = {"q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
         "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0)}
BLOCK = 32
WEIGHT_STD = 0.02


def random_rows(random, kind, rows, cols):
    """Blocks of 32 weights as ggml lays them out: an f16 scale, then the codes. [rows, row bytes]"""
    blocks = rows * cols // BLOCK
    codes = 32 if kind == "q8_0" else 16  # bytes of a block's codes
    code_std = 255 / 12**0.5 if kind == "q8_0" else 15 / 12**0.5
    scale = np.full((blocks, 1), WEIGHT_STD / code_std, dtype="<f2").view(np.uint8)
    data = random.integers(0, 256, (blocks, codes), dtype=np.uint8)
    return np.concatenate([scale, data], axis=1).reshape(rows, -1)


def byte_alphabet():
    """GPT-2's letter for every byte: printable ones stand for themselves, others for U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters, n = [], 0
    for byte in range(256):
        letters.append(chr(byte) if byte in printable else chr(256 + n))
        n += byte not in printable
    return letters


def add_tokenizer(writer, vocab):
    letters = byte_alphabet()
    pairs = [(letters[i // 256], letters[i % 256]) for i in range(vocab - 257)]
    tokens = letters + [a + b for a, b in pairs] + ["<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (vocab - 1) + [TokenType.CONTROL])
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_eos_token_id(vocab - 1)
    writer.add_add_bos_token(False)


def add_header(writer, file_type, vocab):
    writer.add_name("random weights, shape of Qwen3 0.6B")
    writer.add_file_type(file_type)
    writer.add_context_length(40960)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(vocab)


def add_tensors(writer, kind, vocab):
    random = np.random.default_rng(1)
    dtype = TYPES[kind][0]

    def matrix(name, rows, cols):
        writer.add_tensor(name, random_rows(random, kind, rows, cols), raw_dtype=dtype)

    def norm(name, size):
        writer.add_tensor(name, np.ones(size, dtype=np.float32))

    matrix("token_embd.weight", vocab, HIDDEN)  # the output matrix as well, as in Qwen3-0.6B
    norm("output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        norm(at + "attn_norm.weight", HIDDEN)
        matrix(at + "attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
        matrix(at + "attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        matrix(at + "attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        norm(at + "attn_q_norm.weight", HEAD_DIM)
        norm(at + "attn_k_norm.weight", HEAD_DIM)
        matrix(at + "attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
        norm(at + "ffn_norm.weight", HIDDEN)
        matrix(at + "ffn_gate.weight", FFN, HIDDEN)
        matrix(at + "ffn_up.weight", FFN, HIDDEN)
        matrix(at + "ffn_down.weight", HIDDEN, FFN)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    parser.add_argument("--vocab", type=int, default=32768)
    args = parser.parse_args()
    if not 257 < args.vocab <= 65536:
        parser.error("--vocab: 258 to 65536")
    writer = GGUFWriter(args.out, "qwen3")
    add_header(writer, TYPES[args.type][1], args.vocab)
    add_tokenizer(writer, args.vocab)
    add_tensors(writer, args.type, args.vocab)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"wrote {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
