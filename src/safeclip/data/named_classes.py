"""Classes for data that has none: a pair is of the class that most of its captions name.

What must stay true: pairs, uids and fingerprint are those of the data as it is, so that a manifest, a checkpoint and a
result fit both; a pair whose captions do not agree has no class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from safeclip.data.mentions import Mentions
from safeclip.data.pairs import BadPair, Pair, Source
from safeclip.errors import InputError

_UNKNOWN, _NONE = -2, -1


class NamedClasses:
    """`source`, of the classes `names`. A pair is of the one that more than half of its captions name, and more than
    name any other. Labels are found when they are asked for, and kept: 4 bytes a pair.

    Raises InputError where the data has classes of its own.
    """

    def __init__(self, source: Source, names: Sequence[str]):
        if source.class_names:
            raise InputError(
                f"data.class_names: {source.name} has {len(source.class_names)} classes of its own; leave it out"
            )
        self.source, self.name, self.fingerprint = source, source.name, source.fingerprint
        self.class_names = tuple(sorted(set(names)))
        self._named = Mentions(self.class_names)
        self._label_N = np.full(len(source), _UNKNOWN, np.int32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, uid: int) -> Pair:
        return self.source[uid]

    def captions(self, uid: int) -> tuple[str, ...]:
        return self.source.captions(uid)

    def __getattr__(self, name: str) -> Any:
        """All else is as the data has it: its shards, its prompts, what it left out."""
        if name == "source" or name.startswith("_"):  # while it is made or unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    def label(self, uid: int) -> int:
        if self._label_N[uid] == _UNKNOWN:
            self._label_N[uid] = self._find(uid)
        return int(self._label_N[uid])

    def _find(self, uid: int) -> int:
        try:
            captions = self.captions(uid)
        except BadPair:
            return _NONE
        counts = Counter(label for caption in captions for label in self._named(caption))
        (best, most), (_, second) = [*counts.most_common(2), (_NONE, 0), (_NONE, 0)][:2]
        return best if 2 * most > len(captions) and most > second else _NONE
