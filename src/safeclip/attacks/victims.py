"""Which pairs an attack replaces: drawn at random from those allowed, readable ones only."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from safeclip.attacks.manifest_check import MAX_PIXELS
from safeclip.data.decode import decode
from safeclip.data.draws import shuffled
from safeclip.data.pairs import BadPair, Source
from safeclip.errors import InputError


def order(seed: int, name: str, purpose: str, numbers: np.ndarray) -> np.ndarray:
    """`numbers` in a random order that depends on nothing but the arguments. name: the attack's."""
    return shuffled(seed, 0, np.asarray(numbers, np.int64), zlib.crc32(f"{name}/{purpose}".encode()) + 2**32)


def choose_victims(source: Source, candidates: Iterable[int], count: int, *, seed: int, name: str) -> list[int]:
    """`count` uids of readable pairs, in random order. Raises InputError where there are too few."""
    chosen: list[int] = []
    for uid in order(seed, name, "victims", np.fromiter(candidates, np.int64)).tolist():
        if len(chosen) == count:
            break
        if picture(source, uid) is not None:
            chosen.append(uid)
    if len(chosen) < count:
        mend = "plant fewer" if chosen else "give another class: every caption names this one"
        raise InputError(
            f"{name}: {count} pairs to plant, and {source.name} has {len(chosen)} that can be replaced; {mend}"
        )
    return chosen


def picture(source: Source, uid: int) -> np.ndarray | None:
    """The pair's picture, None where it cannot be read: training would leave the pair out, planted or not."""
    try:
        pair = source[uid]
        return decode(pair.image, max_pixels=MAX_PIXELS) if any(c and not c.isspace() for c in pair.captions) else None
    except BadPair:
        return None
