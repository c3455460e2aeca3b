"""Asks held-back needle questions and counts right answers, reading the GGUF file itself."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

import corpus

DISTRACTORS = {256: 2, 512: 4, 1024: 8, 2048: 12}
ANSWER_TOKENS = 16


@dataclass(frozen=True)
class Needle:
    context: str
    question: str
    answer: str
    code: str

    @property
    def prompt(self) -> str:
        return self.context + self.question


def needle(seed: int, length: int, tokenizer: Tokenizer) -> Needle:
    """A held-back sample: context and question fill at most `length` tokens."""
    rng = random.Random(corpus.HELD_BACK + seed)

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    stated = corpus.facts(rng, DISTRACTORS[length] + 1, code_share=1.0, both_share=0.0)
    wanted = rng.choice(stated)
    question = f"\n{wanted.question}\n"
    document = corpus.document(rng, length - count(question), stated, 0, count)
    return Needle(document.context, question, wanted.statement, wanted.value)


@torch.no_grad()
def greedy(model: Callable[[Tensor], Tensor], ids: list[int], count: int) -> list[int]:
    """The next `count` tokens, each the most likely one."""
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-count:]


@torch.no_grad()
def answers_right(model: Callable[[Tensor], Tensor], tokenizer: Tokenizer, asked: Needle) -> bool:
    """Whether the greedy answer holds the code: its digits, in order, and no others."""
    prompt = tokenizer.encode(asked.prompt).ids
    expected = tokenizer.encode(asked.answer).ids
    best = model(torch.tensor([prompt + expected]))[0].argmax(-1).tolist()
    if best[len(prompt) - 1:-1] == expected:  # greedy decoding walks exactly this path
        return True
    said = tokenizer.decode(greedy(model, prompt, ANSWER_TOKENS))
    return "".join(filter(str.isdigit, said))[:4] == asked.code


def accuracy(model: Callable[[Tensor], Tensor], tokenizer: Tokenizer, length: int, samples: int,
             first_seed: int = 0) -> float:
    right = sum(answers_right(model, tokenizer, needle(first_seed + index, length, tokenizer))
                for index in range(samples))
    return right / samples


def load(path: Path) -> tuple[Callable[[Tensor], Tensor], Tokenizer]:
    """A GGUF file, or a checkpoint (`model.pt`) as it was before quantisation."""
    if path.suffix == ".pt":
        from export import load_checkpoint
        return load_checkpoint(path), Tokenizer.from_file(str(path.with_name("tokenizer.json")))
    from check import read_model, read_tokenizer
    return read_model(path), read_tokenizer(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(DISTRACTORS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, tokenizer = load(arguments.model)
    for length in arguments.lengths:
        share = accuracy(model, tokenizer, length, arguments.samples, arguments.first_seed)
        print(f"{length} tokens, {DISTRACTORS[length]} distractors: "
              f"{share:.3f} of {arguments.samples} right", flush=True)


if __name__ == "__main__":
    main()
