"""What every source has in common: a name, a fingerprint, a length, and classes.

What must stay true: class_names are those of the whole data set, sorted, so that the indices agree between its splits.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import os
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from safeclip.data.pairs import BadPair, NoSuchSplit
from safeclip.data.sources.paths import Stamp, stamps
from safeclip.errors import InputError


class Labelled:
    """name: the data spec. fingerprint: see `fingerprint`. length: pairs. classes: names, sorted, and of each pair the
    index into them, int32 (N,), -1 where it has none; None: the data has no classes.
    """

    templates: tuple[str, ...] = ()
    """Zero-shot prompts that come with the data set, {} for the class; most sets have none."""
    captions_from_classes = False
    """Whether a caption is nothing but the class in a sentence, so that captions tell no two pictures apart."""

    def __init__(
        self, name: str, fingerprint: str, length: int, classes: tuple[tuple[str, ...], np.ndarray] | None = None
    ):
        if length == 0:
            raise InputError(f"data {name}: holds no pair; check that it is the file you meant")
        self.name, self.fingerprint, self._length = name, fingerprint, length
        self.class_names: tuple[str, ...] = () if classes is None else classes[0]
        self._labels_N: np.ndarray | None = None if classes is None else classes[1]

    def __len__(self) -> int:
        return self._length

    def label(self, uid: int) -> int:
        uid = self._checked(uid)
        return -1 if self._labels_N is None else int(self._labels_N[uid])

    def _checked(self, uid: int) -> int:
        uid = operator.index(uid)
        if not 0 <= uid < self._length:
            raise IndexError(f"uid {uid}: {self.name} has {self._length} pairs")
        return uid


class Codes:
    """A column of few distinct strings, as numbers: `names[values[i]]` is the i-th."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values = array("i")

    def add(self, value: str | None, times: int = 1) -> None:
        number = self._numbers.setdefault(value or "", len(self._numbers))
        self._values.extend([number] * times)

    def extend(self, names: Sequence[str | None], codes: np.ndarray) -> None:
        """Many at once: names[code] for each code; negative codes are missing values."""
        table = np.array([self._numbers.setdefault(n or "", len(self._numbers)) for n in (*names, None)], np.int32)
        self._values.frombytes(table[np.where(codes < 0, len(names), codes)].astype(np.int32).tobytes())

    @property
    def names(self) -> list[str]:
        return list(self._numbers)

    @property
    def values(self) -> np.ndarray:
        return np.frombuffer(self._values, np.int32)

    def rows(self, name: str, where: str) -> np.ndarray:
        """Rows of the split `name`, and those whose split could not be read (None). Raises InputError naming the
        splits there are.
        """
        if name not in self._numbers:
            names = sorted(n[:40] or "''" for n in self._numbers if n != UNREADABLE)
            there = ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
            raise NoSuchSplit(f"split = {name!r}: no such split in {where}; there are {there}, or all")
        wanted = [self._numbers[n] for n in (name, UNREADABLE) if n in self._numbers]
        return np.flatnonzero(np.isin(self.values, wanted))

    def classes(self, rows: np.ndarray | None = None) -> tuple[tuple[str, ...], np.ndarray]:
        """(sorted names without the empty one, index into them for each of `rows`, -1 for the empty one)."""
        names = tuple(sorted(n for n in self._numbers if n not in ("", UNREADABLE)))
        place = {n: i for i, n in enumerate(names)}
        table = np.array([place.get(n, -1) for n in self._numbers], np.int32)
        values = self.values if rows is None else self.values[rows]
        return names, table[values]


UNREADABLE = "\0unreadable"
"""Code of a row whose cells could not be told apart: it stays in every split, to be counted as a bad pair."""


class Texts:
    """Lists of strings, end to end in one buffer: a few bytes each, and cheap to send to a worker. errors: what becomes
    of half a character, as for str.encode."""

    def __init__(self, lists: Iterable[Sequence[str]], errors: str = "replace"):
        self._errors = errors
        buffer, ends, firsts = bytearray(), array("q", [0]), array("q", [0])
        for strings in lists:
            for string in strings:
                buffer += string.encode("utf-8", errors)
                ends.append(len(buffer))
            firsts.append(len(ends) - 1)
        self._buffer = bytes(buffer)
        self._ends, self._firsts = np.frombuffer(ends, np.int64), np.frombuffer(firsts, np.int64)

    def __len__(self) -> int:
        return len(self._firsts) - 1

    def __getitem__(self, index: int) -> tuple[str, ...]:
        first, last = self._firsts[index], self._firsts[index + 1]
        ends = self._ends[first : last + 1].tolist()
        return tuple(self._buffer[a:b].decode(errors=self._errors) for a, b in itertools.pairwise(ends))


def usable(captions: Iterable[object]) -> tuple[str, ...]:
    """The strings among `captions` that are not blank. Raises BadPair where none is."""
    found = tuple(c for c in captions if isinstance(c, str) and c and not c.isspace())
    if not found:
        raise BadPair("no caption")
    return found


def fingerprint(
    kind: str, files: Sequence[str], split: str, length: int, extra: str = "", known: Sequence[Stamp] | None = None
) -> str:
    """Hash of the format, the files' names and sizes, the split, and the length: other data has another one. known:
    the files' stamps, where they have been asked for already."""
    sizes = [stamp.size for stamp in (stamps(files) if known is None else known)]
    named = [(os.path.basename(f.rstrip("/")), size) for f, size in zip(files, sizes, strict=True)]
    text = json.dumps([kind, named, split, length, extra])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
