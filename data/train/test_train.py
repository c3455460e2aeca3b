"""Small checks of the training folder: `python -m unittest -v` (about ten seconds)."""

from __future__ import annotations

import random
import tempfile
import unittest
from pathlib import Path

import torch

import check
import corpus
import evaluate
import init_circuits
import tokenizer as tokenizer_module
from examples import RowMaker
from export import export
from model import Config, Llama


class TrainingFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.tokenizer_path = Path(cls.folder.name) / "tokenizer.json"
        cls.tokenizer = tokenizer_module.train(1, cls.tokenizer_path)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def initial_model(self) -> Llama:
        torch.manual_seed(1)
        model = Llama(Config(self.tokenizer.get_vocab_size()))
        init_circuits.initialise(model, 1)
        return model

    def test_text_depends_on_the_seed_alone(self) -> None:
        first, again, other = (corpus.stories(random.Random(seed), 3) for seed in (5, 5, 6))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_facts_have_different_questions(self) -> None:
        for seed in range(50):
            questions = [fact.question for fact in corpus.facts(random.Random(seed), 12)]
            self.assertEqual(len(questions), len(set(questions)))

    def test_any_text_survives_the_tokenizer(self) -> None:
        for text in ("Zażółć gęślą jaźń\n\t 日本語 🙂 x=1.25;", "  two  spaces\n\n", "It's 4821."):
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text).ids), text)

    def test_words_and_digits_are_single_tokens(self) -> None:
        tokens = self.tokenizer.encode("The code of the amber falcon is 4821.").tokens
        self.assertEqual(len(tokens), 13)
        self.assertEqual(tokens[-5:], ["4", "8", "2", "1", "."])

    def test_question_splits_cleanly_from_its_context(self) -> None:
        asked = evaluate.needle(0, 512, self.tokenizer)
        apart = [self.tokenizer.encode(part).ids for part in (asked.context, asked.question)]
        self.assertEqual(self.tokenizer.encode(asked.prompt).ids, apart[0] + apart[1])
        self.assertLessEqual(len(apart[0]) + len(apart[1]), 512)
        self.assertEqual(asked.context.count(asked.code), 1)

    def test_targets_are_the_next_tokens_or_the_end(self) -> None:
        rows = RowMaker(self.tokenizer, random.Random(3))
        for _ in range(5):
            ids, targets, weights = rows.fact_row(256).cut(256)
            self.assertEqual((len(ids), len(targets), len(weights)), (256, 256, 256))
            wrong = [target for target, next_id in zip(targets, ids[1:]) if target != next_id]
            self.assertTrue(all(target == rows.end for target in wrong))

    def test_initial_circuits_copy_repeated_tokens(self) -> None:
        model = self.initial_model()
        segment = torch.randint(model.config.vocabulary, (1, 500))
        with torch.no_grad():
            best = model(torch.cat([segment, segment], dim=1)).argmax(-1)
        self.assertGreater((best[:, 504:-1] == segment[:, 5:]).float().mean().item(), 0.95)

    def test_export_reads_back(self) -> None:
        model = self.initial_model()
        path = Path(self.folder.name) / "model.gguf"
        export(model, self.tokenizer_path, path)
        check.check_file(path)
        text = "Once upon a time, 42 small swans.\n"
        read_back = check.read_tokenizer(path)
        self.assertEqual(read_back.encode(text).ids, self.tokenizer.encode(text).ids)
        ids = torch.tensor([self.tokenizer.encode(text).ids])
        with torch.no_grad():
            expected, found = model(ids), check.read_model(path)(ids)
        error = (expected - found).norm() / expected.norm()
        self.assertLess(error.item(), 0.03)  # Q8_0 rounds each weight by up to 1/254 of its block


if __name__ == "__main__":
    unittest.main()
