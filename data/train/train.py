"""Trains the default model from a seed: tokenizer, circuits, three stages, export."""

from __future__ import annotations

import argparse
import dataclasses
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

import evaluate
import init_circuits
import tokenizer as tokenizer_module
from examples import RowMaker
from export import export
from model import Config, Llama, parameter_count

TOKENS_A_STEP = 4096
PEAK_RATE, LAST_RATE, WARM_UP = 1e-3, 2e-5, 100


@dataclasses.dataclass(frozen=True)
class Stage:
    """So many steps, each with rows of a length drawn with these odds."""

    steps: int
    odds: dict[int, float]


STAGES = (
    Stage(800, {256: 0.7, 512: 0.3}),
    Stage(1000, {256: 0.25, 512: 0.55, 1024: 0.2}),
    Stage(800, {256: 0.15, 512: 0.25, 1024: 0.4, 2048: 0.2}),
)


def rate(step: int, total: int) -> float:
    """Warm up, hold, and fall in a straight line over the last 40 %."""
    falling = max(0.0, (step / total - 0.6) / 0.4)
    return min(1.0, (step + 1) / WARM_UP) * (PEAK_RATE + (LAST_RATE - PEAK_RATE) * falling)


def loss_of(model: Llama, ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids)
    each = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


def save(model: Llama, path: Path) -> None:
    torch.save({"config": dataclasses.asdict(model.config), "weights": model.state_dict()}, path)


class Trainer:
    def __init__(self, model: Llama, tokenizer: Tokenizer, seed: int, work: Path) -> None:
        self.model, self.tokenizer, self.work = model, tokenizer, work
        self.rows = RowMaker(tokenizer, random.Random(seed))
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
        self.started, self.tokens, self.step, self.recent = time.time(), 0, 0, 0.0

    def log(self, text: str) -> None:
        line = f"{(time.time() - self.started) / 60:6.1f} min  step {self.step:5d}  {text}"
        print(line, flush=True)
        with (self.work / "train.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def one_step(self, length: int, learning_rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = loss_of(self.model, *self.rows.batch(TOKENS_A_STEP // length, length))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.tokens += TOKENS_A_STEP
        self.recent = loss.item() if self.step == 1 else 0.98 * self.recent + 0.02 * loss.item()

    def report(self, lengths: tuple[int, ...], samples: int) -> None:
        """Needle accuracy on seeds held back for the log, apart from those of the results."""
        self.model.eval()
        shares = [evaluate.accuracy(self.model, self.tokenizer, length, samples, 500_000)
                  for length in lengths]
        self.model.train()
        found = "  ".join(f"{length}: {share:.2f}" for length, share in zip(lengths, shares))
        self.log(f"loss {self.recent:.4f}  tokens {self.tokens / 1e6:.1f} M  needles {found}")

    def run(self, stages: tuple[Stage, ...]) -> None:
        total = sum(stage.steps for stage in stages)
        for stage in stages:
            for _ in range(stage.steps):
                length = self.rows.rng.choices(list(stage.odds), list(stage.odds.values()))[0]
                self.one_step(length, rate(self.step, total))
                if self.step % 100 == 0:
                    self.log(f"loss {self.recent:.4f}")
                if self.step % 500 == 0:
                    save(self.model, self.work / "checkpoint.pt")
                    self.report((256, 512, 1024), 40)
        self.report((256, 512, 1024, 2048), 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="the GGUF file to write")
    parser.add_argument("--work", type=Path, default=Path("/tmp/spark-tiny"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shorten", type=float, default=1.0, help="share of the steps to run")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    tokenizer_path = arguments.work / "tokenizer.json"
    tokenizer = tokenizer_module.train(arguments.seed, tokenizer_path)
    model = Llama(Config(tokenizer.get_vocab_size()))
    init_circuits.initialise(model, arguments.seed)
    trainer = Trainer(model, tokenizer, arguments.seed, arguments.work)
    trainer.log(f"{parameter_count(model)} parameters, {model.config}")
    trainer.report((256,), 20)
    trainer.run(tuple(dataclasses.replace(stage, steps=round(stage.steps * arguments.shorten))
                      for stage in STAGES))
    save(model, arguments.work / "model.pt")
    export(model.eval(), tokenizer_path, arguments.output)
    trainer.log(f"wrote {arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
