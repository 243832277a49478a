"""Which pairs are of a class, which class an attack takes where none is given, and how many of its pairs.

A pair's class is its label; where the data has no such class, a pair whose captions name it stands in for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from safeclip.attacks.victims import order
from safeclip.data.mentions import Mentions, corpus
from safeclip.data.pairs import Source
from safeclip.errors import InputError


class Classed:
    """The pairs of a data set by class.

    names: the data's classes, and those given; at least one. uids: of each class's pairs, rising. texts: for each
    class, (uid, caption) of every caption that names it.
    """

    def __init__(self, source: Source, given: Iterable[str | None], attack: str):
        own = list(source.class_names)
        wanted = [name for name in given if name is not None]
        unknown = [name for name in wanted if own and name not in own]
        if unknown:
            raise InputError(f"{attack}: {source.name} has no class {unknown[0]!r}; its classes are {some_of(own)}")
        if not own and not wanted:
            raise InputError(f"{attack}: {source.name} has no classes; name those that the attack is about")
        self.source, self.attack = source, attack
        self.names = own or list(dict.fromkeys(wanted))
        mentions = Mentions(self.names)
        self.uids: list[list[int]] = [[] for _ in self.names]
        self.texts: list[list[tuple[int, str]]] = [[] for _ in self.names]
        for uid, captions in corpus(source):
            named = [mentions(caption) for caption in captions]
            for caption, labels in zip(captions, named, strict=True):
                for label in labels:
                    self.texts[label].append((uid, caption))
            for label in {source.label(uid)} - {-1} if own else set[int]().union(*named):
                self.uids[label].append(uid)

    def index(self, name: str) -> int:
        return self.names.index(name)

    def draw(self, counts: Sequence[int], seed: int, purpose: str) -> int:
        """A class at random among those with at least half as many as the one with the most. counts: of each class.

        Raises InputError where none has any.
        """
        for label in order(seed, self.attack, purpose, np.arange(len(counts))).tolist():
            if counts[label] and counts[label] >= max(counts) / 2:
                return int(label)
        raise InputError(f"{self.attack}: {self.source.name} has no class that this can be done with; name one")


def how_many(count: int | None, share: float | None, among: int, whose: str) -> int:
    """`count`, or a share of `among` pairs; whose: pairs, for the errors. Raises InputError."""
    if (count is None) == (share is None):
        raise InputError(f"count = {count}, share = {share}: give one of the two")
    if share is not None:
        if not 0 < share <= 1:
            raise InputError(f"share = {share}: give a share of the pairs of {whose}, above 0 and at most 1")
        count = max(1, round(share * among))
    assert count is not None
    if among == 0:
        raise InputError(f"{whose} has no pairs that can be replaced; give another one")
    if not 1 <= count <= among:
        raise InputError(f"count = {count}: give 1 to {among}, the pairs of {whose} that can be replaced")
    return count


def some_of(names: Sequence[str]) -> str:
    """The first of them, for an error's one line."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
