"""What the signals that need no model look at: of each pair a hash, a small picture, its texture, and the words
of its captions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from safeclip.signals.words import caption_vectors


@dataclass(frozen=True)
class Glance:
    """hashes: uint64 (N,) (`copies.perceptual_hashes`). thumbnails: uint8 (N, SIDE, SIDE, 3) (`thumbnails.thumbnails`).
    textures: float32 (N, TEXTURE) (`texture.textures`). words: uint64 (N, W) (`words.word_ids`). All are 0 for pairs
    that could not be read."""

    hashes: np.ndarray
    thumbnails: np.ndarray
    textures: np.ndarray
    words: np.ndarray

    def of(self, rows: np.ndarray) -> Glance:
        """Of some pairs. rows: bool (N,)."""
        return Glance(self.hashes[rows], self.thumbnails[rows], self.textures[rows], self.words[rows])

    @cached_property
    def captions(self) -> Tensor:
        """Unit vectors float32 (N, D) (`words.caption_vectors`)."""
        return caption_vectors(self.words)
