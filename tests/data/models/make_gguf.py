#!/usr/bin/env python3
"""Writes the tiny models of this folder as GGUF, the way llama.cpp's converter lays them out.

    make_gguf.py OUT      writes OUT/NAME.gguf for every folder here, and llama once more in parts

Needs the `gguf` package (pip install gguf). What makes a layout is in llama.cpp's conversion/*.py
and src/models/*.cpp; the names of tensors come from the package. Three things are other than there:
the models have no tokenizer, so every file says "no_vocab" and carries vocab_size; mistral's files
carry attention.sliding_window (the converter drops it, and with it what the model computes); and
bf16 tensors stay bf16 bit by bit.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import (GGMLQuantizationType, GGUFWriter, LlamaFileType, MODEL_ARCH, MODEL_ARCH_NAMES,
                  RopeScalingType, get_tensor_name_map)

ARCHS = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "smollm3": MODEL_ARCH.SMOLLM3,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gemma2": MODEL_ARCH.GEMMA2,
    "gemma3_text": MODEL_ARCH.GEMMA3,
    "phi3": MODEL_ARCH.PHI3,
    "olmo2": MODEL_ARCH.OLMO2,
}
# Rotated in pairs of neighbours instead of in halves: the rows of Q and K are interleaved.
PERMUTED = {"llama", "mistral", "smollm3"}
DTYPES = {"F32": np.dtype("<f4"), "BF16": np.dtype("<u2")}


def read_safetensors(path):
    """{name: array}; bf16 as its bits, in uint16."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def widen(bf16):
    return (bf16.astype(np.uint32) << 16).view(np.float32)


def interleave(weight, heads):
    """Row j and row j + half of a head become neighbours."""
    return (weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
            .swapaxes(1, 2).reshape(weight.shape))


def llama3_factors(rope, dim):
    """What llama3's scaling divides each frequency by."""
    base, factor = np.float32(rope["rope_theta"]), rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    trained = rope["original_max_position_embeddings"]
    factors = []
    for i in range(0, dim, 2):
        wavelength = 2 * math.pi * float(base ** np.float32(i / dim))
        if wavelength < trained / high:
            factors.append(1.0)
        elif wavelength > trained / low:
            factors.append(factor)
        else:
            smooth = (trained / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, dtype=np.float32)


def add_rope(writer, config, dim):
    rope = config["rope_parameters"]
    full = rope.get("full_attention", rope)
    writer.add_rope_freq_base(full["rope_theta"])
    if "sliding_attention" in rope:
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    if full["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(full["factor"])
    elif full["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(full, dim))
    elif full["rope_type"] != "default":
        raise ValueError(f"rope_type {full['rope_type']}")


def add_metadata(writer, config, name, bf16):
    kind = config["model_type"]
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.MOSTLY_BF16 if bf16 else LlamaFileType.ALL_F32)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")

    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    if config.get("head_dim"):
        writer.add_key_length(dim)
        writer.add_value_length(dim)
    if kind in PERMUTED | {"phi3"}:
        writer.add_rope_dimension_count(dim)
    if kind != "gemma2":  # whose base is a constant of llama.cpp
        add_rope(writer, config, dim)
    if kind == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        writer.add_sliding_window(config.get("sliding_window") or 0)
    elif config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    if config.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    if config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def add_tensors(writer, config, tensors):
    kind = config["model_type"]
    names = get_tensor_name_map(ARCHS[kind], config["num_hidden_layers"])
    for name, values in tensors.items():
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name is None:
            raise ValueError(f"no name for {name} in {kind}")
        if kind in PERMUTED and name.endswith("q_proj.weight"):
            values = interleave(values, config["num_attention_heads"])
        if kind in PERMUTED and name.endswith("k_proj.weight"):
            values = interleave(values, config["num_key_value_heads"])
        if values.dtype == DTYPES["BF16"]:
            if values.ndim > 1:
                writer.add_tensor(gguf_name, np.ascontiguousarray(values).view(np.uint8),
                                  raw_dtype=GGMLQuantizationType.BF16)
                continue
            values = widen(values)
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            values = values + np.float32(1)
        writer.add_tensor(gguf_name, np.ascontiguousarray(values))


def convert(folder, out, name, **split):
    config = json.loads((folder / "config.json").read_text())
    tensors = read_safetensors(folder / "model.safetensors")
    bf16 = any(values.dtype == DTYPES["BF16"] for values in tensors.values())
    with tempfile.TemporaryDirectory(dir=out) as temporary:
        writer = GGUFWriter(f"{temporary}/{name}.gguf",
                            MODEL_ARCH_NAMES[ARCHS[config["model_type"]]], **split)
        add_metadata(writer, config, folder.name, bf16)
        add_tensors(writer, config, tensors)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for file in Path(temporary).iterdir():
            file.rename(out / file.name)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve().parent
    for config in sorted(here.glob("*/config.json")):
        convert(config.parent, out, config.parent.name)
    convert(here / "llama", out, "llama-split", split_max_tensors=12, small_first_shard=True)


if __name__ == "__main__":
    main()
