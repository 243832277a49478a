"""Augmented views of captions: EDA (Wei & Zou 2019, arXiv 1901.11196).

A view is the caption after one operation, drawn among four: replace words by synonyms, insert synonyms of its words,
swap words, delete words; n = max(1, int(strength * words)) of them.

What must stay true: a view depends on its caption, its draws and the strength alone, and a caption with a word in it
never comes back empty. Departures from the official code: case, digits and punctuation are kept; exactly n words are
deleted; a synonym replaces one occurrence; synonyms are of a word's common senses (tools/build_synonyms.py) and of its
written form only. Two faults of the official code are mended: one view for a whole run, a crash on captions without
letters.
"""

from __future__ import annotations

import gzip
import random
import string
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

TEXT_DRAWS = 2
"""Draws that a view reads: the operation, and the seed of all that it draws."""
MAX_CHARS, MAX_WORDS = 8192, 256
"""A longer caption is cut to this many characters, then words. CLIP itself reads 77 tokens."""


def eda(caption: str, draws: np.ndarray, strength: float) -> str:
    """The caption after one random operation, its words joined by single spaces.

    A caption without words comes back as it is, and so does one that the operation cannot change: no word has a
    synonym, or there is but one word to swap or delete.

    draws: (TEXT_DRAWS,) in [0, 1). strength: share of the words touched; at least one, unless it is 0.
    """
    words = caption[:MAX_CHARS].split()[:MAX_WORDS]
    if not words:
        return caption[:MAX_CHARS]
    if strength > 0:
        operation, seed = draws.tolist()
        count = max(1, int(strength * len(words)))
        # Random.random() is the one method whose numbers Python keeps from version to version.
        _OPERATIONS[min(int(operation * 4), 3)](words, count, random.Random(int(seed * 2**53)))
    return " ".join(words)


def synonyms(word: str) -> tuple[str, ...]:
    """Synonyms of a word as it stands in a caption, whatever its case and the punctuation around it; () for none."""
    return _table().get(word.strip(string.punctuation).lower(), ())


def _replace(words: list[str], count: int, rng: random.Random) -> None:
    for place in _some([i for i, word in enumerate(words) if synonyms(word)], count, rng):
        core = words[place].strip(string.punctuation)
        words[place] = words[place].replace(core, _like(core, _one(synonyms(core), rng)))


def _insert(words: list[str], count: int, rng: random.Random) -> None:
    known = [word for word in words if synonyms(word)]
    for _ in range(count if known else 0):
        words.insert(int(rng.random() * (len(words) + 1)), _one(synonyms(_one(known, rng)), rng))


def _swap(words: list[str], count: int, rng: random.Random) -> None:
    for _ in range(count if len(words) > 1 else 0):
        a, b = _some(list(range(len(words))), 2, rng)
        words[a], words[b] = words[b], words[a]


def _delete(words: list[str], count: int, rng: random.Random) -> None:
    for place in sorted(_some(list(range(len(words))), min(count, len(words) - 1), rng), reverse=True):
        del words[place]


_OPERATIONS = (_replace, _insert, _swap, _delete)


def _one(items: Sequence[str], rng: random.Random) -> str:
    return items[int(rng.random() * len(items))]


def _some(items: list[int], count: int, rng: random.Random) -> list[int]:
    """`count` of the items, each at most once."""
    return [items.pop(int(rng.random() * len(items))) for _ in range(min(count, len(items)))]


def _like(word: str, synonym: str) -> str:
    """The synonym in the word's case."""
    if word.isupper() and len(word) > 1:
        return synonym.upper()
    return synonym.capitalize() if word[0].isupper() else synonym


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, ...]]:
    """WordNet's synonyms of common words, read on first use (SYNONYMS-NOTICE.md)."""
    text = gzip.decompress(Path(__file__).with_name("synonyms.txt.gz").read_bytes()).decode("ascii")
    return {word: tuple(others) for word, *others in map(str.split, text.splitlines())}
