"""What the signals that need no model look at: of each pair a hash, a small picture, its texture, and the words
of its captions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from safeclip.signals.words import Vectors, caption_vectors

_WIDE = 1024
"""Of the vectors that are foretold. With 256, it hung on the draw of directions whether clean classes were barred, and
textures foretold planted captions worse (docs/lab.md, 35)."""


@dataclass(frozen=True)
class Glance:
    """hashes: uint64 (N,) (`copies.perceptual_hashes`). thumbnails: uint8 (N, SIDE, SIDE, 3) (`thumbnails.thumbnails`).
    textures: float32 (N, TEXTURE) (`texture.textures`). words, ends: uint64 (N, W) (`words.words_and_ends`); None: no
    ends. All are 0 for pairs that could not be read."""

    hashes: np.ndarray
    thumbnails: np.ndarray
    textures: np.ndarray
    words: np.ndarray
    ends: np.ndarray | None = None

    def of(self, rows: np.ndarray) -> Glance:
        """Of some pairs. rows: bool (N,)."""
        ends = None if self.ends is None else self.ends[rows]
        return Glance(self.hashes[rows], self.thumbnails[rows], self.textures[rows], self.words[rows], ends)

    @cached_property
    def captions(self) -> Tensor:
        """Unit vectors float32 (N, D) (`words.caption_vectors`)."""
        return caption_vectors(self.words, self.ends)

    @cached_property
    def meanings(self) -> Vectors:
        """The same, wider, and made where they are asked for."""
        return Vectors(self.words, self.ends, dim=_WIDE)

    @property
    def said(self) -> np.ndarray:
        """Words and ends, uint64 (N, W or 2 W): whoever asks about one by one takes those that always come together as
        one."""
        return self.words if self.ends is None else np.hstack([self.words, self.ends])
