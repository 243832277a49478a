"""From uid to a decoded picture and its captions: source, decoder, planted edits, and a cache where memory allows.

Every part that looks at a pair (training, scoring, evaluation) reads it here, so they all see the same picture.
What must stay true: a pair that cannot be read leaves the run only where others still can; storage that no longer gives
what it gave before (a lost mount) halts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from safeclip.config import DataConfig
from safeclip.data.decode import decode
from safeclip.data.pairs import BadPair, Pair, Shards, Source, Unreadable
from safeclip.data.sources.labelled import Texts
from safeclip.data.spread import spread
from safeclip.errors import Halted, InputError

MOST_CAPTIONS = 256
"""Of a pair: the first ones. Whoever writes a million into one row must not hold up the others."""
MOST_CHARACTERS = 20_000
"""Of a pair's captions together; the one in which they end is whole."""
PATIENCE = (0.0, 1.0, 3.0, 10.0)
"""Seconds waited before each try to reach storage that does not answer."""


class Edit(Protocol):
    """What an attack does to a pair after decoding, for the uids it names."""

    uids: np.ndarray

    def __call__(
        self, uid: int, image: np.ndarray, captions: tuple[str, ...]
    ) -> tuple[np.ndarray, tuple[str, ...]]: ...


class Reader:
    """Decoded pairs by uid.

    source: the data. edit: planted pairs, applied after decoding; None reads the data as it lies.
    short_side: pictures come at a smaller scale as long as their short side keeps this many px, so that what many of
    them hold depends on what is wanted of them; None at their own.
    """

    def __init__(self, source: Source, config: DataConfig, edit: Edit | None = None, short_side: int | None = None):
        self.source, self.config, self.edit, self.short_side = source, config, edit, short_side
        self._planted = frozenset(edit.uids.tolist()) if edit is not None else frozenset()
        self._cache: _Cache | None = None
        self._most = config.cache_mib * 2**20
        self._sizes: dict[int, int | str] = {}
        """Of a sample of the pairs, by uid: bytes of the decoded picture, or why the pair cannot be used."""

    def __len__(self) -> int:
        return len(self.source)

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """uint8 RGB (H, W, 3) and at least one caption. Raises BadPair, and Halted where the storage is gone."""
        if self._cache is not None:
            return self._cache.read(uid)
        try:
            pair = self.source[uid]
        except Unreadable as reason:
            pair = self._again(uid, str(reason))
        image = decode(pair.image, max_pixels=self.config.max_pixels, short_side=self.short_side)
        captions = self._usable(pair.captions)
        if uid in self._planted:
            assert self.edit is not None
            image, captions = self.edit(uid, image, captions)
            captions = self._usable(captions)
        return image, captions

    def cache_all(self, progress: Callable[[int, int], None] | None = None) -> bool:
        """Decode everything into memory if it fits in `cache_mib`; True if it did. A sample says whether to try, and
        what is held is dropped as soon as it is more than that.

        progress: called with (pairs done, pairs).
        """
        if self._cache is None and self._fits():
            cache = _Cache()
            for uid in range(len(self)):
                try:
                    cache.add(*self.read(uid))
                except BadPair as bad:
                    cache.add_bad(str(bad))
                if cache.bytes > self._most:
                    return False
                if progress is not None and uid % 500 == 0:
                    progress(uid, len(self))
            cache.close()
            self._cache = cache
        return self._cache is not None

    def check(self) -> None:
        """Raises InputError where of a sample of the pairs not one can be used."""
        found = self._sample()
        if all(isinstance(size, str) for size in found.values()):
            uid, reason = next(iter(found.items()))
            raise InputError(
                f"{self.config.spec}: none of {len(found)} pairs looked at can be used (uid {uid}: {reason}); "
                "check that it names the data you meant, and data.image_root where its pictures lie elsewhere"
            )

    def _fits(self) -> bool:
        sizes = [0 if isinstance(size, str) else size for size in self._sample().values()]
        return float(np.mean(sizes)) * len(self) <= self._most

    def _sample(self) -> dict[int, int | str]:
        """`_sizes` of 32 pairs spread over the data, or over few shards that are copied whole; read once."""
        for uid in self._sampled() if not self._sizes else ():
            try:
                self._sizes[uid] = self.read(uid)[0].nbytes
            except BadPair as bad:
                self._sizes[uid] = str(bad)
        return self._sizes

    def _sampled(self) -> list[int]:
        source = self.source
        if not isinstance(source, Shards) or not source.remote:
            return [int(uid) for uid in spread(len(self), 32)]
        ends = [0, *source.ends_S.tolist()]
        shards = spread(len(ends) - 1, 4).tolist()
        return sorted({ends[s] + uid for s in shards for uid in spread(ends[s + 1] - ends[s], 8).tolist()})

    def _again(self, uid: int, reason: str) -> Pair:
        """A pair that could not be read, once its known neighbours can be again. Raises BadPair where they can and it
        cannot, Halted where they cannot either."""
        known = [other for other, size in self._sizes.items() if not isinstance(size, str) and other != uid]
        near = sorted(known, key=lambda other: abs(other - uid))[:2]
        for seconds in PATIENCE:
            time.sleep(seconds)
            if not near or any(map(self._answers, near)):
                return self.source[uid]
        raise Halted(
            f"data {self.config.spec}: the storage no longer answers: uid {uid} ({reason}), "
            f"nor uids {near}, which were read when the run began; mount it again"
        )

    def _answers(self, uid: int) -> bool:
        try:
            self.source[uid]
        except Unreadable:
            return False
        except BadPair:
            pass
        return True

    def _usable(self, captions: tuple[str, ...]) -> tuple[str, ...]:
        usable = [c[: self.config.max_caption_chars] for c in captions[:MOST_CAPTIONS] if c and not c.isspace()]
        if not usable:
            raise BadPair("no caption")
        before = accumulate(map(len, usable), initial=0)
        return tuple(caption for caption, at in zip(usable, before, strict=False) if at < MOST_CHARACTERS)


class Reads(Protocol):
    """What reads pairs, as Reader does."""

    source: Source

    def __len__(self) -> int: ...

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]: ...


@dataclass
class Part:
    """Pairs that were read. rows: int64, their places among the uids asked for. made: of each its picture, or what was
    made of it. bad: (uid, reason) of those between them that cannot be used. end: how many uids it and the parts before
    it stand for."""

    rows: np.ndarray
    made: list[Any]
    captions: list[tuple[str, ...]]
    end: int
    bad: list[tuple[int, str]] = field(default_factory=list)


def read_in_parts(
    reader: Reads, uids: np.ndarray, at_once: int, threads: int = 0, make: Callable[[np.ndarray], Any] | None = None
) -> Iterator[Part]:
    """The pairs in the order of the uids, `at_once` at a time. threads: that read and decode them, side by side where
    that is done in C; with 0 or 1 this one does. make: what of a picture is wanted, made by whoever read it, so that
    only so many are held as there are threads; None keeps the pictures. What they find is the same. Raises what the
    reader raises."""

    def read(uid: int) -> tuple[Any, tuple[str, ...]] | BadPair:
        try:
            picture, captions = reader.read(uid)
        except BadPair as reason:
            return reason
        return (picture if make is None else make(picture)), captions

    with ExitStack() as ends:
        each: Callable[..., Iterator[Any]] = map
        if threads > 1:  # threads of threads would wait for one another
            ends.enter_context(threadpool_limits(1, user_api="blas"))
            readers = ThreadPoolExecutor(threads)
            ends.callback(readers.shutdown, cancel_futures=True)
            each = readers.map  # begins at once: the next part is read while this one is used
        following = each(read, uids[:at_once].tolist())
        for start in range(0, len(uids), at_once):
            some = uids[start : start + at_once].tolist()
            these, following = following, each(read, uids[start + at_once : start + 2 * at_once].tolist())
            rows, part = [], Part(uids[:0], [], [], start + len(some))
            for row, found in enumerate(these, start):
                if isinstance(found, BadPair):
                    part.bad.append((some[row - start], str(found)))
                    continue
                rows.append(row)
                part.made.append(found[0])
                part.captions.append(found[1])
            part.rows = np.array(rows, np.int64)
            yield part


class _Cache:
    """Pictures end to end in one uint8 buffer, and captions in another, so that worker processes share them."""

    def __init__(self) -> None:
        self.bytes = 0
        self.pictures: list[np.ndarray] = []
        self.shapes: list[tuple[int, int]] = []
        self.texts: list[tuple[str, ...]] | Texts = []
        self.bad: dict[int, str] = {}
        self.buffer = np.empty(0, np.uint8)
        self.offsets = np.zeros(1, np.int64)

    def add(self, image: np.ndarray, captions: tuple[str, ...]) -> None:
        assert isinstance(self.texts, list), "closed"
        self.bytes += image.nbytes + sum(map(len, captions))
        self.pictures.append(image.reshape(-1))
        self.shapes.append(image.shape[:2])
        self.texts.append(captions)

    def add_bad(self, reason: str) -> None:
        self.bad[len(self.texts)] = reason
        self.add(np.empty((0, 0, 3), np.uint8), ())

    def close(self) -> None:
        self.offsets = np.concatenate([[0], np.cumsum([p.size for p in self.pictures])])
        self.buffer = np.concatenate(self.pictures) if self.pictures else self.buffer
        assert isinstance(self.texts, list), "closed"
        self.pictures, self.texts = [], Texts(self.texts, errors="surrogatepass")

    def read(self, uid: int) -> tuple[np.ndarray, tuple[str, ...]]:
        if uid in self.bad:
            raise BadPair(self.bad[uid])
        start, end = self.offsets[uid], self.offsets[uid + 1]
        return self.buffer[start:end].reshape(*self.shapes[uid], 3), self.texts[uid]
