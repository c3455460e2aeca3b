"""Scores of metric cases by independent packages, for tests/eval/metric_test.cc.

    python3 -m venv /tmp/metrics-venv
    /tmp/metrics-venv/bin/pip install rouge-score==0.1.2 torchmetrics==1.9.0 rapidfuzz==3.14.6
    /tmp/metrics-venv/bin/python tests/data/eval/make_metric_fixtures.py

exact, f1   torchmetrics.functional.text.squad, which is SQuAD's own evaluation
rouge_l     rouge_score, rougeL F1 without stemming. Its default tokenizer knows ASCII only, so texts
            with other letters go through one that splits at anything but letters and digits
edit        rapidfuzz.fuzz.ratio, the same as fuzzywuzzy's before rounding, of the first line of code
            as LongBench's code_sim_score chooses it
"""
import json
import re
from pathlib import Path

from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from torchmetrics.functional.text.squad import squad

PAIRS = [  # prediction, answer
    ("", ""), ("", "x"), ("x", ""), (" ", "the"), ("the", "a"), ("a", "b"), ("Paris", "paris"),
    ("Paris.", "paris"), ("The Paris", "Paris"), ("  Paris \n", "Paris"), ("in Paris", "Paris"),
    ("the the the cat", "the cat"), ("cat cat cat", "cat"), ("cat", "cat cat cat"),
    ("cat cat dog dog", "dog cat cat bird"), ("don't stop", "dont stop"), ("U.S.A.", "USA"),
    ("3.14", "314"), ("1,000 men", "1000 men"), ("a-b c", "ab c"), ("well-known fact", "well known fact"),
    ("an apple a day", "apple day"), ("another day", "day"), ("then", "the"), ("A", "a"),
    ("the quick brown fox jumps over the lazy dog", "the fox is quick and the dog is lazy"),
    ("one two three four five", "five four three two one"),
    ("one two three four five", "two four"),
    ("the cat sat on the mat", "the cat is on the mat"),
    ("police killed the gunman", "the gunman killed police"),
    ("He said: \"yes\" (twice)!", "he said yes twice"), ("x_y z", "x y z"), ("foo_bar", "foobar"),
    ("tab\tseparated\twords", "tab separated words"), ("line\nbreak", "line break"),
    ("no\u00a0break space", "no break space"), ("wide\u3000space", "wide space"),
    ("Äpfel und Birnen", "äpfel UND birnen"), ("café au lait", "cafe au lait"),
    ("naïve Bayes", "naïve bayes"), ("Москва — столица", "москва столица"), ("ΑΒΓ δ", "αβγ Δ"),
    ("東京 は 日本", "日本 の 東京"), ("東京", "東京都"), ("emoji 😀 here", "emoji here 😀"),
    ("a–b", "b"), ("“quoted” words", "quoted words"), ("İstanbul", "istanbul"), ("straße", "STRASSE"),
    ("4821", "4821."), ("4821, 1111", "4821"), ("code 4821 code", "4821 code"),
    ("return x + y", "return x+y"), ("for i in range(10):", "for j in range(n):"),
    ("# comment\nint a = b;", "int a = b;"), ("```python\nprint(x)\n```", "print(x)"),
    ("\n\n  return foo(bar)\nmore", "  return foo(bar)"), ("// only a comment", "int x;"),
    ("public void run() { }", "private int run(int n) {}"), ("kitten", "sitting"),
    ("ab" * 40, "ba" * 40), ("über\nx", "uber"), ("😀😁😂", "😂😁😀"), ("aaaa", "aaab"),
    (" ".join("abcdefghij"), " ".join("acegibdfhj")),
    (" ".join(str(i % 7) for i in range(120)), " ".join(str(i % 5) for i in range(100))),
]


class UnicodeTokenizer(Tokenizer):
    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def squad_scores(prediction: str, answer: str) -> tuple[float, float]:
    scores = squad([{"prediction_text": prediction, "id": "0"}],
                   [{"answers": {"answer_start": [0], "text": [answer]}, "id": "0"}])
    return float(scores["exact_match"]) / 100, float(scores["f1"]) / 100


def rouge_l(prediction: str, answer: str) -> float:
    ascii_only = (prediction + answer).isascii()
    # "_" is a separator in both.
    scorer = RougeScorer(["rougeL"], tokenizer=None if ascii_only else UnicodeTokenizer())
    return scorer.score(answer, prediction)["rougeL"].fmeasure


def edit(prediction: str, answer: str) -> float:
    lines = prediction.lstrip("\n").split("\n")
    code = next((line for line in lines
                 if "`" not in line and "#" not in line and "//" not in line), "")
    return fuzz.ratio(code, answer) / 100


def main() -> None:
    cases = []
    for prediction, answer in PAIRS:
        exact, f1 = squad_scores(prediction, answer)
        cases.append({"prediction": prediction, "answer": answer, "exact": exact, "f1": round(f1, 6),
                      "rouge_l": round(rouge_l(prediction, answer), 9),
                      "edit_similarity": round(edit(prediction, answer), 9)})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    Path(__file__).with_name("metrics.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
