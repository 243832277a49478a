"""What a data set of image-caption pairs is to the rest of the code: a length, and a way from uid to pair.

A `uid` is the pair's dense number in its data set: 0 <= uid < len(source), the same in every process and every run.
Sources read and nothing else: they neither decode, crop, tokenise nor shuffle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from safeclip.errors import InputError


class NoSuchSplit(InputError):
    """The data has splits, and none of the name asked for."""


class BadPair(Exception):
    """One pair cannot be used; str() is the reason. It is counted and left out, and the run goes on."""


class Unreadable(BadPair):
    """The storage did not give the pair's bytes: a file of its own that is missing, or all of the data gone with it.
    safeclip.data.read tells which."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its captions, as they lie in the data set.

    image: the encoded file (JPEG, PNG, WebP, ...), or an already decoded uint8 RGB array (H, W, 3).
    captions: at least one caption in a usable pair; markup, control characters and any length are possible.
    """

    image: bytes | np.ndarray
    captions: tuple[str, ...]


@runtime_checkable
class Source(Protocol):
    """A data set of pairs read by uid. Safe to use from forked or spawned workers (picklable, opens files lazily),
    and from threads.

    name: the data spec that opens it again.
    fingerprint: short hash of what it holds (spec, length, file sizes), to tell a checkpoint of other data.
    class_names: names of its classes, sorted; () where the set has none.
    """

    name: str
    fingerprint: str
    class_names: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, uid: int) -> Pair:
        """The pair. Raises BadPair, where its bytes cannot be had Unreadable, and IndexError."""
        ...

    def captions(self, uid: int) -> tuple[str, ...]:
        """The captions alone, without reading the image where the format allows it."""
        ...

    def label(self, uid: int) -> int:
        """Index into class_names, -1 where the pair has no class."""
        ...


@runtime_checkable
class Shards(Source, Protocol):
    """A Source whose pairs lie in shards, best read in their order. ends_S: int64, the uid after each shard's last.
    remote: whether shards lie at URLs, and are copied here one by one."""

    ends_S: np.ndarray

    @property
    def remote(self) -> bool: ...

    def check_window(self, window: int) -> None:
        """Raises InputError where the copies of so many shards read together are more than there is disk for."""
        ...

    def fetch(self, uids: np.ndarray) -> None:
        """See that the copies for these pairs are there. Raises RunError."""
        ...
