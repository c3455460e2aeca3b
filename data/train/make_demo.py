"""Writes data/demo/: a story opening, a needle context and its question, from held-back seeds."""

from __future__ import annotations

import argparse
from pathlib import Path

import evaluate
from check import read_model, read_tokenizer

LENGTH = 1024
FIRST_SEED = 700_000  # held back, and apart from the seeds of the results and of the log
OPENING = "Once upon a time, a kind girl named Nora lived near the river."


def first_answered(model_path: Path) -> tuple[int, evaluate.Needle]:
    """The first sample, in order of seeds, that the full cache answers."""
    model, tokenizer = read_model(model_path), read_tokenizer(model_path)
    seed = FIRST_SEED
    while True:
        sample = evaluate.needle(seed, LENGTH, tokenizer)
        if evaluate.answers_right(model, tokenizer, sample):
            return seed, sample
        seed += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    seed, sample = first_answered(arguments.model)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "story_prompt.txt").write_text(OPENING, encoding="utf-8")
    (folder / "needle_context.txt").write_text(sample.context, encoding="utf-8")
    (folder / "needle_question.txt").write_text(sample.question, encoding="utf-8")
    (folder / "README.md").write_text(
        "# Demo texts\n\n"
        "Made by `data/train/make_demo.py` for the default model.\n\n"
        f"- `story_prompt.txt`: an opening to continue.\n"
        f"- `needle_context.txt`: held-back sample {seed}, about {LENGTH} tokens: one needle and "
        f"{evaluate.DISTRACTORS[LENGTH]} facts of the same form. It is sample "
        f"{seed - FIRST_SEED + 1} from seed {FIRST_SEED} on, the first one that the full cache "
        "answers.\n"
        "- `needle_question.txt`: its question, with the line breaks around it, to be appended as "
        f"it is. Expected: `{sample.answer}`\n", encoding="utf-8")
    print(f"seed {seed}: {sample.answer}")


if __name__ == "__main__":
    main()
