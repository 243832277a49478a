"""Captions that name each class, for an attacker to choose among (Carlini & Terzis 2022, section 3).

    corpus     the data's own captions that name the class, each once
    templates  prompts filled with the class's name, as for a class that no caption names

A pool is in random order: its first n captions are n drawn without replacement.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from safeclip.attacks.victims import order
from safeclip.data.mentions import naming
from safeclip.data.pairs import Source

CaptionPool = list[tuple[int, str]]
"""(uid of a pair with that caption, or -1 for none; caption)."""
Pools = Callable[[Source, Sequence[str], int, str], list[CaptionPool]]
"""(source, class names, seed, attack's name) -> a pool for each class."""

_MANNERS = (
    "a photo",
    "a good photo",
    "a bad photo",
    "a bright photo",
    "a dark photo",
    "a blurry photo",
    "a close-up photo",
    "a cropped photo",
    "a black and white photo",
    "a low resolution photo",
    "a picture",
    "an image",
    "a drawing",
    "a painting",
    "a sketch",
    "a rendering",
)
_WHICH = ("a", "the", "my", "one", "many")
PROMPTS = tuple(f"{manner} of {which} {{}}." for manner, which in itertools.product(_MANNERS, _WHICH))
"""80 prompts in the manner of the 80 of CLIP (Radford et al. 2021), which Carlini & Terzis fill."""


def corpus_pools(source: Source, names: Sequence[str], seed: int, attack: str) -> list[CaptionPool]:
    """For each class, the distinct captions of `source` that name it, with a uid they came from."""
    pools = []
    for label, entries in enumerate(naming(source, names)):
        first: dict[str, int] = {}
        for uid, text in entries:
            first.setdefault(text, uid)
        pools.append(_shuffled([(uid, text) for text, uid in first.items()], seed, attack, label))
    return pools


def template_pools(source: Source, names: Sequence[str], seed: int, attack: str) -> list[CaptionPool]:
    """For each class, PROMPTS filled with its name; `source` has no part in them."""
    filled = [[(-1, prompt.replace("{}", name)) for prompt in PROMPTS] for name in names]
    return [_shuffled(pool, seed, attack, label) for label, pool in enumerate(filled)]


def _shuffled(pool: CaptionPool, seed: int, attack: str, label: int) -> CaptionPool:
    return [pool[i] for i in order(seed, attack, f"captions {label}", np.arange(len(pool))).tolist()]
