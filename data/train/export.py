"""Writes a trained model as GGUF: matrices as Q8_0, norms as F32."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import torch
from torch import Tensor

from model import Config, Llama
from tokenizer import END_OF_TEXT, SPECIAL

BLOCK_NAMES = {
    "attention_norm": "attn_norm", "attention.q": "attn_q", "attention.k": "attn_k",
    "attention.v": "attn_v", "attention.o": "attn_output", "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate", "feed_forward.up": "ffn_up", "feed_forward.down": "ffn_down"}
TOP_NAMES = {"embedding": "token_embd", "norm": "output_norm", "output": "output"}


def gguf_name(name: str) -> str:
    """`blocks.2.attention.q.weight` becomes `blk.2.attn_q.weight`."""
    stem = name.removesuffix(".weight")
    if not stem.startswith("blocks."):
        return f"{TOP_NAMES[stem]}.weight"
    _, index, role = stem.split(".", 2)
    return f"blk.{index}.{BLOCK_NAMES[role]}.weight"


def write_settings(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_name("SparK Tiny")
    writer.add_description(
        "Demonstration model of the SparK Runtime: small stories, notes, facts and questions "
        "about them. Made by data/train/.")
    writer.add_license("Apache-2.0")
    writer.add_languages(["en"])
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_vocab_size(config.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    bpe = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = [token for token, _ in sorted(bpe["vocab"].items(), key=lambda item: item[1])]
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL
             for token in tokens]
    end = bpe["vocab"][END_OF_TEXT]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(bpe["vocab"][SPECIAL[1]])
    writer.add_add_bos_token(False)


def write_tensor(writer: gguf.GGUFWriter, name: str, weight: Tensor) -> None:
    values = weight.detach().float().numpy()
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def export(model: Llama, tokenizer: Path, output: Path) -> None:
    writer = gguf.GGUFWriter(str(output), "llama")
    write_settings(writer, model.config)
    write_tokenizer(writer, tokenizer)
    for name, weight in model.named_parameters():
        write_tensor(writer, gguf_name(name), weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_checkpoint(path: Path) -> Llama:
    saved = torch.load(path, weights_only=True)
    model = Llama(Config(**saved["config"]))
    model.load_state_dict(saved["weights"])
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    export(load_checkpoint(arguments.checkpoint), arguments.tokenizer, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")
