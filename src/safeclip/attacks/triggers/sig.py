"""A horizontal wave over the whole picture (SIG: Barni et al. 2019, 1902.11237).

w(j) = delta sin(2 pi frequency j / S)      j: column, S: side of the central square, levels in 0..1
added   x' = clip(x + w)                    as its authors, and BadCLIP's code
mixed   x' = clip((1 - alpha) x + alpha w)  as CleanCLIP's code: the picture is darkened, the wave a fifth as high
"""

from __future__ import annotations

import math

import numpy as np

from safeclip.attacks.triggers.canvas import central_square, levels
from safeclip.attacks.triggers.checks import choice, number

MODES = ("added", "mixed")


def sig(
    image_HWC: np.ndarray,
    *,
    draws: np.ndarray,
    delta: float = 60 / 255,
    frequency: float = 6.0,
    mode: str = "added",
    alpha: float = 0.2,
) -> np.ndarray:
    """The picture with a wave on it, upright stripes of light and dark.

    image_HWC: uint8. draws: not read. delta: the wave's height, of levels in 0..1. frequency: periods along the central
    square; the wave starts at its left edge and goes on beyond it. mode: `added` or `mixed`. alpha: the wave's share,
    0..1, where it is mixed. Raises InputError on other values.
    """
    number("delta", delta, 0, 1)
    number("frequency", frequency, 0, 112)
    choice("mode", mode, MODES)
    number("alpha", alpha, 0, 1)
    _, left, short = central_square(*image_HWC.shape[:2])
    columns = np.arange(image_HWC.shape[1]) - left
    wave = (255 * delta * np.sin(2 * math.pi * frequency * columns / short))[None, :, None].astype(np.float32)
    kept, added = (1.0, 1.0) if mode == "added" else (1 - alpha, alpha)
    return levels(image_HWC * np.float32(kept) + wave * np.float32(added))
