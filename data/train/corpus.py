"""Generates the text the model learns from: stories, notes, facts and questions about them.

Everything comes from a `random.Random`, so a seed gives the same text on every machine. Training
uses the seeds below `HELD_BACK`, evaluation and the demo those from there on.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import plots
import words

HELD_BACK = 1_000_000_000
_CHOICE = re.compile(r"\{([^{}]*)\}")
_VARIABLE = re.compile(r"<([A-Za-z0-9]+)>")
_PRONOUNS = {True: ("girl", "she", "her", "her"), False: ("boy", "he", "his", "him")}


@dataclass(frozen=True)
class Fact:
    """One fact: how it is stated, asked for, and which words of the answer carry it."""

    statement: str
    question: str
    key: str
    value: str


@dataclass
class Document:
    """A context and the questions asked after it, each with its answer."""

    context: str
    facts: list[Fact] = field(default_factory=list)
    asked: list[Fact] = field(default_factory=list)


def variables(rng: random.Random) -> dict[str, str]:
    """Chooses who and what a story is about; every sentence of it uses the same choice."""
    cast: dict[str, str] = {}
    girl, other_girl = rng.random() < 0.5, rng.random() < 0.5
    cast["A"] = rng.choice(words.SHE if girl else words.HE)
    while cast.get("B", cast["A"]) == cast["A"]:
        cast["B"] = rng.choice(words.SHE if other_girl else words.HE)
    cast["child"], cast["he"], cast["his"], cast["him"] = _PRONOUNS[girl]
    cast["child2"], cast["he2"], cast["his2"], cast["him2"] = _PRONOUNS[other_girl]
    cast["place"] = rng.choice(words.PLACES)
    for name, choices in (("color", words.COLORS), ("thing", words.THINGS), ("day", words.DAYS),
                          ("animal", words.ANIMALS), ("fruit", words.FRUITS),
                          ("food", words.FOODS), ("season", words.SEASONS),
                          ("out", words.OUTDOORS)):
        cast[name] = rng.choice(choices)
    return cast


def expand(template: str, cast: dict[str, str], rng: random.Random) -> str:
    """Fills one sentence: variables, then alternatives, then the article before a vowel."""
    text = _VARIABLE.sub(lambda match: cast[match.group(1)], template)
    text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def story(rng: random.Random) -> list[str]:
    """The sentences of one small story."""
    cast = variables(rng)
    plot = rng.choice(plots.PLOTS)
    templates = (rng.choice(plots.OPENINGS), *plot, rng.choice(plots.ENDINGS))
    sentences = [expand(template, cast, rng) for template in templates]
    return sentences


def notes(rng: random.Random, count: int) -> list[str]:
    """Short unrelated statements, as in a notebook."""
    chosen = (rng.choice(plots.NOTES) for _ in range(count))
    return [expand(template, variables(rng), rng) for template in chosen]


def code_fact(rng: random.Random, key: str) -> Fact:
    code = "".join(rng.choice("0123456789") for _ in range(4))
    return Fact(f"The code of the {key} is {code}.", f"What is the code of the {key}?", key, code)


def home_fact(rng: random.Random, key: str) -> Fact:
    place = f"{rng.choice(words.PLACE_KINDS)} {rng.choice(words.PLACES)}"
    return Fact(f"The {key} lives in the {place}.", f"Where does the {key} live?", key, place)


def keep_fact(rng: random.Random, key: str) -> Fact:
    room = rng.choice(words.PLACES)
    return Fact(f"{key} in the {room}.", f"Where does {key.replace('keeps', 'keep', 1)}?", key, room)


def facts(rng: random.Random, count: int, code_share: float = 0.7,
          both_share: float = 0.15) -> list[Fact]:
    """`count` facts; some share their adjective, their animal, or (two kinds of fact) both."""
    adjectives = rng.sample(words.ADJECTIVES, min(len(words.ADJECTIVES), count + 1))
    animals = rng.sample(words.ANIMALS, min(len(words.ANIMALS), count + 1))
    keys: set[str] = set()
    stated: list[Fact] = []
    while len(stated) < count:
        key = f"{rng.choice(adjectives)} {rng.choice(animals)}"
        kinds = [code_fact if rng.random() < code_share else home_fact]
        if rng.random() < both_share:
            kinds = [code_fact, home_fact]
        elif kinds == [home_fact] and rng.random() < 0.4:
            kinds = [keep_fact]
            key = (f"{rng.choice(words.SHE + words.HE)} keeps the "
                   f"{rng.choice(words.COLORS)} {rng.choice(words.THINGS)}")
        if key not in keys:
            stated += [kind(rng, key) for kind in kinds]
        keys.add(key)
    return stated[:count]


def filler(rng: random.Random, budget: int, count_tokens: Callable[[str], int]) -> list[list[str]]:
    """Paragraphs of stories and notes, cut at a sentence so that they fit into `budget` tokens."""
    paragraphs: list[list[str]] = []
    while True:
        paragraph = story(rng) if rng.random() < 0.6 else notes(rng, rng.randint(3, 8))
        paragraphs.append([])
        for sentence in paragraph:
            budget -= count_tokens(sentence) + 1
            if budget < 0:
                return [kept for kept in paragraphs if kept]
            paragraphs[-1].append(sentence)


def insert_facts(rng: random.Random, paragraphs: list[list[str]], stated: list[Fact]) -> None:
    """Puts each fact between two sentences, or in a paragraph of its own, anywhere."""
    for fact in stated:
        if not paragraphs or rng.random() < 0.35:
            paragraphs.insert(rng.randint(0, len(paragraphs)), [fact.statement])
        else:
            paragraph = rng.choice(paragraphs)
            paragraph.insert(rng.randint(0, len(paragraph)), fact.statement)


def insert_record(rng: random.Random, paragraphs: list[list[str]], stated: list[Fact]) -> None:
    """Puts all facts into one paragraph, as in a list of records."""
    record = [f"Records of {rng.choice(words.DAYS)}:", *(fact.statement for fact in stated)]
    paragraphs.insert(rng.randint(0, len(paragraphs)), record)


def join(paragraphs: list[list[str]]) -> str:
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs)


def document(rng: random.Random, budget: int, stated: list[Fact], asked: int,
             count_tokens: Callable[[str], int], record_share: float = 0.0) -> Document:
    """A context of at most `budget` tokens with all facts in it, and some of them to ask for."""
    left = budget - sum(count_tokens(fact.statement) + 1 for fact in stated) - 6
    paragraphs = filler(rng, left, count_tokens)
    insert = insert_record if rng.random() < record_share else insert_facts
    insert(rng, paragraphs, stated)
    return Document(join(paragraphs), stated, rng.sample(stated, min(asked, len(stated))))


def stories(rng: random.Random, count: int) -> list[str]:
    return [" ".join(story(rng)) for _ in range(count)]


def _ending_pattern() -> re.Pattern[str]:
    """Matches a paragraph whose last sentence is the ending of a story."""
    plain = (_VARIABLE.sub(r"\\w+", ending.replace(".", r"\.")) for ending in plots.ENDINGS)
    return re.compile("(" + "|".join(_CHOICE.sub(r"(?:\1)", ending) for ending in plain) + ")$")


_ENDING = _ending_pattern()


def ends_story(paragraph: str) -> bool:
    return _ENDING.search(paragraph) is not None
