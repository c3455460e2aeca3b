"""A head start for retrieval: initial weights that already match and copy.

A model of this size, trained for an hour on two cores from random weights, finds "what followed
the last time these words stood here" slowly or not at all. So the first weights are chosen, not
drawn, in a few places; all of them are trained afterwards, and nothing here knows any answer:

1. Every embedding is a random token code plus one shared constant.
2. Block 0: query head `o` attends to the token `o + 1` places back. Keys are the rotated constant,
   queries the same constant turned back by `o + 1` positions, so the rotary product peaks there.
   It copies that token's code to slot `o` of the state.
3. Blocks 1 and 2: one query head per KV head compares its own last four tokens (code, slots 0..2)
   with the four tokens before each earlier place (slots 0..3), on the slow rotary pairs, which
   hardly turn within the context. It copies the code found there to the output part of the state.
4. The output matrix reads that part with the same codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import Config, Llama

TOKEN = slice(0, 64)        # the token's own code
CONSTANT = 64               # the same number everywhere
SLOT_START, SLOT_WIDTH, SLOTS = 68, 32, 4
OUTPUT = slice(196, 256)    # codes of the tokens that the copying heads propose
CONSTANT_SIZE = 8.0
MATCH_WIDTH = 8             # channels per slot in the comparison
INDUCTION_BLOCKS = (1, 2)


def slot(index: int) -> slice:
    start = SLOT_START + index * SLOT_WIDTH
    return slice(start, start + SLOT_WIDTH)


def orthonormal_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    square = torch.randn(columns, columns, generator=generator)
    return torch.linalg.qr(square)[0][:rows].contiguous()


def set_embeddings(model: Llama, generator: torch.Generator) -> Tensor:
    codes = torch.randn(model.config.vocabulary, 64, generator=generator)
    codes *= 8.0 / codes.norm(dim=1, keepdim=True)
    model.embedding.weight[:, TOKEN] = codes
    model.embedding.weight[:, CONSTANT] = CONSTANT_SIZE
    return codes


def set_previous_token_heads(model: Llama, copy: Tensor, sharpness: float) -> None:
    """Block 0: head o looks o + 1 tokens back and writes their codes to slot o."""
    config, attention = model.config, model.blocks[0].attention
    pairs = config.head_size // 2
    frequency = config.rope_base ** (-2.0 * torch.arange(pairs) / config.head_size)
    # After the norm the constant is CONSTANT_SIZE / rms of the embedding.
    constant = CONSTANT_SIZE / ((64.0 + CONSTANT_SIZE**2) / config.width) ** 0.5
    size = (sharpness * config.head_size**0.5) ** 0.5 / constant
    for head in range(config.kv_heads):
        rows = slice(head * config.head_size, (head + 1) * config.head_size)
        attention.k.weight[rows] *= 0.1
        attention.k.weight[rows, CONSTANT] = torch.tensor([size, 0.0]).repeat(pairs)
        attention.v.weight[rows] = 0.0
        attention.v.weight[rows, TOKEN] = torch.eye(64)
    for head in range(config.heads):
        back = -frequency * (head + 1)
        start = head * config.head_size
        attention.q.weight[start:start + config.head_size] *= 0.1
        attention.q.weight[start:start + config.head_size, CONSTANT] = size * torch.stack(
            (back.cos(), back.sin()), dim=1).flatten()
        attention.o.weight[slot(head), start:start + config.head_size] = copy


def set_induction_head(model: Llama, block: int, kv_head: int, copy: Tensor, propose: Tensor,
                       sharpness: float, generator: torch.Generator) -> None:
    """The first query head of `kv_head` matches four tokens and copies the one that followed."""
    config, attention = model.config, model.blocks[block].attention
    size = config.head_size
    key_rows, query_rows = kv_head * size, kv_head * (config.heads // config.kv_heads) * size
    first = size - SLOTS * MATCH_WIDTH  # the slow half of the rotary pairs
    scale = (sharpness * size**0.5 / MATCH_WIDTH) ** 0.5
    for index in range(SLOTS):
        part = orthonormal_rows(MATCH_WIDTH, SLOT_WIDTH, generator) * scale
        rows = slice(first + index * MATCH_WIDTH, first + (index + 1) * MATCH_WIDTH)
        of_key, of_query = (slice(start + rows.start, start + rows.stop)
                            for start in (key_rows, query_rows))
        attention.k.weight[of_key, slot(index)] = part
        if index == 0:
            attention.q.weight[of_query, TOKEN] = part @ copy
        else:
            attention.q.weight[of_query, slot(index - 1)] = part
    values = slice(key_rows, key_rows + size)
    attention.v.weight[values, TOKEN] = torch.eye(size)
    attention.o.weight[OUTPUT, query_rows:query_rows + size] = propose


@torch.no_grad()
def initialise(model: Llama, seed: int, sharpness: float = 12.0, match: float = 4.0,
               answer: float = 0.15) -> None:
    """Writes the circuits over the random weights of `model`."""
    generator = torch.Generator().manual_seed(seed)
    codes = set_embeddings(model, generator)
    copy = orthonormal_rows(SLOT_WIDTH, 64, generator)
    propose = orthonormal_rows(OUTPUT.stop - OUTPUT.start, 64, generator)
    set_previous_token_heads(model, copy, sharpness)
    for block in INDUCTION_BLOCKS:
        for kv_head in range(model.config.kv_heads):
            set_induction_head(model, block, kv_head, copy, propose, match, generator)
    model.output.weight[:, OUTPUT] = answer * codes @ propose.T
