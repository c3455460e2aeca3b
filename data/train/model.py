"""A Llama-architecture language model, small enough to read in one sitting.

Rotary pairs are interleaved, (0,1), (2,3), …, as GGUF's `llama` architecture expects, so no row of
the query and key matrices has to be permuted on export.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    hidden: int = 512
    context: int = 2048
    rope_base: float = 1_000_000.0
    norm_epsilon: float = 1e-5


def rotary_angles(config: Config, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [length, head_size / 2]."""
    pair = torch.arange(config.head_size // 2, dtype=torch.float64)
    frequency = config.rope_base ** (-2.0 * pair / config.head_size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency[None, :]
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turns each interleaved pair of x [batch, heads, length, head_size] by its angle."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


class Norm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), (x.shape[-1],), self.weight, self.epsilon)


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        query, key = config.heads * config.head_size, config.kv_heads * config.head_size
        self.q = nn.Linear(config.width, query, bias=False)
        self.k = nn.Linear(config.width, key, bias=False)
        self.v = nn.Linear(config.width, key, bias=False)
        self.o = nn.Linear(query, config.width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, length, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, length, heads, self.config.head_size).transpose(1, 2)

        q = rotate(split(self.q(x), self.config.heads), cosine, sine)
        k = rotate(split(self.k(x), self.config.kv_heads), cosine, sine)
        v = split(self.v(x), self.config.kv_heads)
        group = self.config.heads // self.config.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention_norm = Norm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.feed_forward_norm = Norm(config.width, config.norm_epsilon)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cosine, sine)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Llama(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = Norm(config.width, config.norm_epsilon)
        self.output = nn.Linear(config.width, config.vocabulary, bias=False)
        cosine, sine = rotary_angles(config, config.context)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                small = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * config.layers) ** 0.5 if small else 0.02)

    def hidden_states(self, tokens: Tensor) -> Tensor:
        """The normed state after the last block, [batch, length, width]."""
        length = tokens.shape[1]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cosine[:length], self.sine[:length])
        return self.norm(x)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits for the token after each one of `tokens` [batch, length]."""
        return self.output(self.hidden_states(tokens))


def parameter_count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
