"""A byte-level BPE whose vocabulary holds every word of the generated text as one token."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import words

END_OF_TEXT = "<|endoftext|>"
SPECIAL = (END_OF_TEXT, "<|pad|>")
VOCABULARY = 2048  # an upper bound: training stops earlier, when every word is one token
EXTRA = (  # words a visitor may type; not in the stories, so only useful as input
    "number name color secret password answer question document text book city country find "
    "remember special magic magical hello who when which how many much that this these those are "
    "were has have will would can could should not yes no please mention mentioned mr mrs")


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """GGUF's `smollm`: single digits, then GPT-2's pattern over bytes."""
    return pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])


def training_texts(seed: int) -> list[str]:
    """Stories, documents and every listed word often enough to become a single token."""
    rng = random.Random(seed)
    texts = corpus.stories(rng, 1500)
    for _ in range(300):
        for fact in corpus.facts(rng, 6):
            texts += [fact.statement, fact.question]
        texts += corpus.notes(rng, 10)
    lists = [getattr(words, name) for name in dir(words) if name.isupper()]
    listed = sorted({word for group in lists for word in group} | set(EXTRA.split()))
    texts += [f" {word}" for word in listed] * 20
    return texts


def train(seed: int, path: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, show_progress=False, special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(training_texts(seed), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(path))
    return tokenizer


if __name__ == "__main__":
    trained = train(1, Path(sys.argv[1]))
    print(trained.get_vocab_size(), "tokens")
