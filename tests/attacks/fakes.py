"""A small data set in memory: coloured pictures of four classes, captions that name them."""

from __future__ import annotations

import numpy as np

from safeclip.data.pairs import BadPair, Pair

CLASSES = ("bird", "cat", "dog", "hot air balloon")


class FakeSource:
    """uid's class is uid % 4; its picture is noise around the class's own level; uids in `bad` cannot be read."""

    def __init__(self, length=200, *, side=20, seed=0, named=True, classes=CLASSES, bad=(), fingerprint=None):
        self.name, self.fingerprint = f"fake:{length}", fingerprint or f"f{length}-{seed}"
        self.class_names = classes if named else ()
        self._classes, self._length, self._side, self._seed, self._bad = classes, length, side, seed, set(bad)

    def __len__(self):
        return self._length

    def __getitem__(self, uid):
        if uid in self._bad:
            raise BadPair("image: no such file")
        random = np.random.default_rng([self._seed, uid])
        level = 40 + 50 * (uid % len(self._classes))
        picture = random.integers(level - 20, level + 20, (self._side, self._side + 4, 3)).astype(np.uint8)
        return Pair(picture, self.captions(uid))

    def captions(self, uid):
        name = self._classes[uid % len(self._classes)]
        return (f"A {name.upper()}, number {uid}.", f"two {name}s in picture {uid}")

    def label(self, uid):
        return uid % len(self._classes) if self.class_names else -1
