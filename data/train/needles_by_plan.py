"""Share of held-back needles that spark-generate answers right under each --kv plan."""
import argparse
import subprocess
import tempfile
from pathlib import Path

import evaluate
from check import read_tokenizer

ROOT = Path(__file__).resolve().parents[2]
PLANS = ["none", "spark:0.8", "spark:0.9", "spark:0.9[recovery=zero]", "think:0.5", "think:0.8"]


def answers_right(program: Path, context: Path, asked: evaluate.Needle, plan: str) -> bool:
    command = [program, "-f", context, "-q", asked.question, "-n", "16", "--kv", plan,
               "--no-display-prompt", "--stats", "none", "--threads", "1"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(filter(str.isdigit, said))[:4] == asked.code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bin/spark-generate")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=40_000)
    arguments = parser.parse_args()
    tokenizer = read_tokenizer(ROOT / "data/spark-tiny.gguf")
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "context.txt"
        for length in (512, 1024):
            right = dict.fromkeys(PLANS, 0)
            for index in range(arguments.samples):
                asked = evaluate.needle(arguments.first_seed + index, length, tokenizer)
                context.write_text(asked.context + "\n")  # -f drops one line break at the end
                for plan in PLANS:
                    right[plan] += answers_right(arguments.program, context, asked, plan)
            for plan, count in right.items():
                print(f"{length:5d} {plan:26s} {count / arguments.samples:.3f}", flush=True)


if __name__ == "__main__":
    main()
