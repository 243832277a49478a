"""Pictures to put triggers on, and draws for them."""

from __future__ import annotations

import numpy as np

DRAWS = np.array([0.3, 0.8])
SIZES = ((8, 8), (33, 57), (57, 33), (224, 224), (40, 1), (1, 1), (230, 300))


def grey(height: int = 40, width: int = 40, level: int = 128) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def noisy(height: int = 40, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rounds(picture: np.ndarray, values: np.ndarray) -> bool:
    """Whether the picture is these values, rounded either way where they lie halfway, and held in 0..255."""
    return bool(np.abs(picture - np.clip(values, 0, 255)).max() <= 0.5 + 1e-3)
