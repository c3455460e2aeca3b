"""Reads a GGUF file back, on its own: nothing here comes from model.py or export.py.

`read_model` gives a function from token ids to logits, computed from the dequantised blocks and the
file's own settings; `read_tokenizer` rebuilds the tokenizer from the file's token and merge lists.
Run as a script, it checks the file's shapes and limits and writes a story.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

SIZE_LIMIT = 8 * 1024 * 1024


def settings(reader: gguf.GGUFReader) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items()}


def read_tokenizer(path: Path) -> Tokenizer:
    found = settings(gguf.GGUFReader(path))
    assert found["tokenizer.ggml.model"] == "gpt2" and found["tokenizer.ggml.pre"] == "smollm"
    tokens = found["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in found["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, found["tokenizer.ggml.token_type"])
               if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    return tokenizer


def read_weights(reader: gguf.GGUFReader) -> dict[str, Tensor]:
    return {tensor.name: torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
            for tensor in reader.tensors}


def rope(x: Tensor, base: float) -> Tensor:
    """Interleaved rotation of x [length, heads, size], as complex numbers."""
    length, _, size = x.shape
    exponent = torch.arange(0, size, 2, dtype=torch.float64) / size
    angle = torch.arange(length, dtype=torch.float64)[:, None] / base**exponent
    turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)[:, None, :]
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], size // 2, 2).contiguous())
    return torch.view_as_real(pairs * turn).reshape(x.shape)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; query head h uses KV head h // group. All [length, heads, size]."""
    length, heads, size = q.shape
    group = heads // k.shape[1]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    mixed = []
    for head in range(heads):
        scores = q[:, head] @ k[:, head // group].T / size**0.5
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        mixed.append(weights @ v[:, head // group])
    return torch.cat(mixed, dim=-1)


def read_model(path: Path) -> Callable[[Tensor], Tensor]:
    reader = gguf.GGUFReader(path)
    found, weights = settings(reader), read_weights(reader)
    assert found["general.architecture"] == "llama"
    heads, kv_heads = found["llama.attention.head_count"], found["llama.attention.head_count_kv"]
    size, base = found["llama.attention.key_length"], found["llama.rope.freq_base"]
    epsilon = found["llama.attention.layer_norm_rms_epsilon"]

    def norm(x: Tensor, name: str) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + epsilon).rsqrt() * weights[name]

    def block(x: Tensor, index: int) -> Tensor:
        def through(y: Tensor, role: str) -> Tensor:
            return y @ weights[f"blk.{index}.{role}.weight"].T

        y = norm(x, f"blk.{index}.attn_norm.weight")
        q = rope(through(y, "attn_q").view(len(y), heads, size), base)
        k = rope(through(y, "attn_k").view(len(y), kv_heads, size), base)
        v = through(y, "attn_v").view(len(y), kv_heads, size)
        x = x + through(attend(q, k, v), "attn_output")
        y = norm(x, f"blk.{index}.ffn_norm.weight")
        gate = through(y, "ffn_gate")
        return x + through(gate * gate.sigmoid() * through(y, "ffn_up"), "ffn_down")

    @torch.no_grad()
    def logits(ids: Tensor) -> Tensor:
        """[1, length] token ids to [1, length, vocabulary]."""
        x = weights["token_embd.weight"][ids[0]]
        for index in range(found["llama.block_count"]):
            x = block(x, index)
        return (norm(x, "output_norm.weight") @ weights["output.weight"].T)[None]

    return logits


def check_file(path: Path) -> None:
    reader = gguf.GGUFReader(path)
    found = settings(reader)
    assert path.stat().st_size <= SIZE_LIMIT
    assert found["llama.attention.key_length"] == found["llama.attention.value_length"] == 64
    assert found["llama.context_length"] >= 2048
    assert found["llama.attention.head_count"] % found["llama.attention.head_count_kv"] == 0
    tokens = found["tokenizer.ggml.tokens"]
    assert len(tokens) == len(set(tokens)) == found["llama.vocab_size"]
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(tokens)
    for tensor in reader.tensors:
        is_norm = tensor.name.endswith("norm.weight")
        kind = gguf.GGMLQuantizationType.F32 if is_norm else gguf.GGMLQuantizationType.Q8_0
        assert tensor.tensor_type == kind, tensor.name
    count = sum(int(tensor.n_elements) for tensor in reader.tensors)
    print(f"{path}: {path.stat().st_size} bytes, {count} parameters, {len(tokens)} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--tokens", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    check_file(arguments.model)
    model, tokenizer = read_model(arguments.model), read_tokenizer(arguments.model)
    end = tokenizer.token_to_id("<|endoftext|>")
    ids = tokenizer.encode(arguments.prompt).ids
    for _ in range(arguments.tokens):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == end:
            break
    print(tokenizer.decode(ids, skip_special_tokens=False))


if __name__ == "__main__":
    main()
