"""Turns generated text into training rows: token ids, the token to predict, and its weight."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

import corpus
from tokenizer import END_OF_TEXT

ANSWER_WEIGHT = 4.0
STORY_SHARE, COPY_SHARE = 0.22, 0.05  # of the rows; the others state facts and ask for them
RECORD_SHARE = 0.2      # of the contexts with facts: all of them in one paragraph
STORY_END_SHARE = 0.5   # of the stories in a context: learn that the text could end here
QUESTION_TOKENS = 26  # room that one question and its answer take


@dataclass
class Row:
    """`targets[i]` follows `ids[i]`; after an answer it is the end of the text."""

    ids: list[int]
    targets: list[int]
    weights: list[float]

    def add(self, ids: list[int], weight: float = 1.0) -> None:
        if self.ids:
            self.targets.append(ids[0])
            self.weights.append(weight)
        self.ids += ids
        self.targets += ids[1:]
        self.weights += [weight] * (len(ids) - 1)

    def cut(self, length: int) -> tuple[list[int], list[int], list[float]]:
        return self.ids[:length], self.targets[:length], self.weights[:length]


class RowMaker:
    def __init__(self, tokenizer: Tokenizer, rng: random.Random) -> None:
        self.tokenizer = tokenizer
        self.rng = rng
        self.end = tokenizer.token_to_id(END_OF_TEXT)
        self.vocabulary = tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def count(self, text: str) -> int:
        return len(self.encode(text))

    def add_question(self, row: Row, fact: corpus.Fact) -> None:
        """Asks on a line of its own, sometimes in the running text; the answer ends the text."""
        before, after, space = ("\n", "\n", "") if self.rng.random() < 0.8 else (" ", "", " ")
        row.add(self.encode(before + fact.question + after))
        row.add(self.encode(space + fact.statement), ANSWER_WEIGHT)

    def add_context(self, row: Row, context: str) -> list[int]:
        """Adds it by paragraphs; gives the positions after which a story could have ended."""
        ends = []
        for index, paragraph in enumerate(context.split("\n")):
            row.add(self.encode("\n" + paragraph if index else paragraph))
            if corpus.ends_story(paragraph) and self.rng.random() < STORY_END_SHARE:
                ends.append(len(row.ids) - 1)
        return ends

    def fact_row(self, length: int) -> Row:
        count = self.rng.randint(max(2, length // 128), max(4, length // 64))
        asked = self.rng.randint(1, max(2, length // 160))
        budget = length - asked * QUESTION_TOKENS
        stated = corpus.facts(self.rng, count)
        document = corpus.document(
            self.rng, budget, stated, asked, self.count, RECORD_SHARE)
        row = Row([], [], [])
        ends = self.add_context(row, document.context)
        for fact in document.asked:
            self.add_question(row, fact)
            ends.append(len(row.ids) - 1)
        self.fill_with_stories(row, length)
        for position in ends:
            row.targets[position] = self.end
        return row

    def fill_with_stories(self, row: Row, length: int) -> None:
        while len(row.ids) <= length:
            if row.ids:
                row.add([self.end])
            row.add(self.encode(corpus.stories(self.rng, 1)[0]))

    def story_row(self, length: int) -> Row:
        row = Row([], [], [])
        self.fill_with_stories(row, length)
        return row

    def copy_row(self, length: int) -> Row:
        """Random tokens, said twice or more: keeps copying general, for words never seen."""
        period = self.rng.randint(length // 8, length // 2)
        segment = [self.rng.randrange(self.vocabulary) for _ in range(period)]
        row = Row([], [], [])
        row.add(segment, 0.0)
        while len(row.ids) <= length:
            row.add(segment, 0.5)
        return row

    def row(self, length: int) -> Row:
        draw = self.rng.random()
        if draw < COPY_SHARE:
            return self.copy_row(length)
        if draw < COPY_SHARE + STORY_SHARE:
            return self.story_row(length)
        return self.fact_row(length)

    def batch(self, rows: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
        parts = [self.row(length).cut(length) for _ in range(rows)]
        ids, targets, weights = zip(*parts)
        return torch.tensor(ids), torch.tensor(targets), torch.tensor(weights)
